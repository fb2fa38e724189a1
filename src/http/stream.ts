import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'

const sql = statements(import.meta.url, './stream.sql', ['headDecision', 'decisionsAfter'])

export interface StreamItem {
  readonly id: number
  readonly at: Date
  readonly stage: string
  readonly outcome: string
  readonly event_id: string | null
  readonly agent_id: string | null
  readonly invocation_id: string | null
  readonly action_id: string | null
  readonly rule: string | null
  readonly reason: string
  readonly codex_commit: string | null
  readonly event_type: string | null
  readonly subject_id: string | null
  readonly source: string | null
}

const pollMs = 400
const pageMax = 500
/** A transaction may commit a lower id after a higher one was read: look back so far. */
const lookBack = 200

/**
 * The live stream: every decision as it is recorded. One poll serves all listeners and runs only while somebody listens, so that
 * nobody pays for it on the hot path (a trigger with NOTIFY would serialise commits).
 */
export class DecisionStream {
  readonly #database: Database
  readonly #log: Log
  readonly #listeners = new Set<(items: readonly StreamItem[]) => void>()
  #seen = new Set<number>()
  #head = 0
  #timer: NodeJS.Timeout | undefined
  #polling = false

  constructor(database: Database, log: Log) {
    this.#database = database
    this.#log = log
  }

  /** Everything after `id`, oldest first, at most 500: what a reader missed while away. */
  async since(id: number): Promise<readonly StreamItem[]> {
    return (await this.#database.query<StreamItem>(sql.decisionsAfter, [id, pageMax])).rows
  }

  /** @returns stops listening */
  async listen(onItems: (items: readonly StreamItem[]) => void): Promise<() => void> {
    if (this.#listeners.size === 0) {
      const { rows } = await this.#database.query<{ id: number }>(sql.headDecision)
      this.#head = rows[0]?.id ?? 0
      this.#seen = new Set((await this.since(Math.max(0, this.#head - lookBack))).map((item) => item.id))
    }
    this.#listeners.add(onItems)
    this.#timer ??= setInterval(() => void this.#poll(), pollMs)
    return () => {
      this.#listeners.delete(onItems)
      if (this.#listeners.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  async #poll(): Promise<void> {
    if (this.#polling) return
    this.#polling = true
    try {
      const items = await this.since(Math.max(0, this.#head - lookBack))
      const fresh = items.filter((item) => !this.#seen.has(item.id))
      if (fresh.length === 0) return
      this.#head = Math.max(this.#head, ...fresh.map((item) => item.id))
      this.#seen = new Set(items.map((item) => item.id).filter((id) => id > this.#head - lookBack))
      for (const listener of this.#listeners) listener(fresh)
    } catch (error) {
      this.#log.warn({ reason: reasonOf(error) }, 'live stream could not read')
    } finally {
      this.#polling = false
    }
  }
}
