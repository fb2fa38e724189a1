import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Queryable } from './database.ts'
import { statements } from './statements.ts'

const sql = statements(import.meta.url, './sweep-log.sql', ['note'])

/** An idle sweeper runs every few seconds; its row changes once in so long, or when it has done or failed at something. */
const quietMs = 60_000

/** What a sweeper tells of a run of its own. Never rejects: a sweep that cannot be noted was still made. */
export interface Sweeps {
  /** @param everyMs how often it runs at least @param swept rows by kind */
  done(name: string, everyMs: number, swept?: Readonly<Record<string, number>>): Promise<void>
  failed(name: string, everyMs: number, error: unknown): Promise<void>
}

/** Notes in `guild_core.sweeps` what the sweepers of this process do, so that any process can tell, also after a restart. */
export class SweepLog implements Sweeps {
  readonly #db: Queryable
  readonly #clock: Pick<Clock, 'now'>
  readonly #pending = new Map<string, Pending>()

  constructor(db: Queryable, clock: Pick<Clock, 'now'>) {
    this.#db = db
    this.#clock = clock
  }

  async done(name: string, everyMs: number, swept: Readonly<Record<string, number>> = {}): Promise<void> {
    const one = this.#of(name)
    one.runs += 1
    one.ok = true
    for (const [kind, rows] of Object.entries(swept)) if (rows > 0) one.swept[kind] = (one.swept[kind] ?? 0) + rows
    const quiet = Object.keys(one.swept).length === 0 && !one.failing
    if (!quiet || this.#clock.now().getTime() - one.notedAtMs >= quietMs) await this.#note(name, everyMs, one, null)
    one.failing = false
  }

  async failed(name: string, everyMs: number, error: unknown): Promise<void> {
    const one = this.#of(name)
    one.runs += 1
    one.failures += 1
    one.failing = true
    await this.#note(name, everyMs, one, reasonOf(error).slice(0, 500))
  }

  #of(name: string): Pending {
    const known = this.#pending.get(name)
    if (known) return known
    const fresh = { runs: 0, failures: 0, ok: false, failing: false, swept: {}, notedAtMs: -Infinity }
    this.#pending.set(name, fresh)
    return fresh
  }

  async #note(name: string, everyMs: number, one: Pending, error: string | null): Promise<void> {
    const row = { name, every_ms: everyMs, ok: one.ok, failed: error !== null, error, ...counts(one) }
    try {
      await this.#db.query(sql.note, [JSON.stringify([row])])
    } catch {
      // What failed the sweep most likely fails this too; the sweeper has logged it, and the counts are kept for the next note.
      return
    }
    Object.assign(one, { runs: 0, failures: 0, ok: false, swept: {}, notedAtMs: this.#clock.now().getTime() })
  }
}

interface Pending {
  runs: number
  failures: number
  ok: boolean
  failing: boolean
  swept: Record<string, number>
  notedAtMs: number
}

function counts({ runs, failures, swept }: Pending) {
  return { runs, failures, swept }
}

/** For tests and tools that run a sweeper by hand. */
export const noSweeps: Sweeps = { done: () => Promise.resolve(), failed: () => Promise.resolve() }
