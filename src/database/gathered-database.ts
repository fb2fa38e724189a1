import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate } from 'node:timers/promises'
import { GuildError, isGuildError } from '../kernel/errors.ts'
import type { Database, Param, Queryable, Result, Statement } from './database.ts'
import { GatheredCalls } from './gathered-calls.ts'

/** Work of so many callers is one transaction, at most: what one of them waits for, all wait for. */
const togetherMax = 64

interface Waiting {
  readonly work: (tx: Queryable) => Promise<unknown>
  /** the plain call, for one that is alone or whose company has failed */
  readonly alone: () => Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/**
 * A database that gathers: while a transaction is under way, those who ask for another wait, and then share one (group commit). Within
 * it their works run side by side, and statements that say how (`Statement.gathered`) are asked once for all of them. For components
 * that do the same small thing for many things at once, such as the journals of many runs.
 *
 * Nobody sees the difference but in time: when anything in the shared transaction fails, all of it is rolled back and each work is done
 * again in a transaction of its own, so that a failure belongs to its caller alone. A work may therefore run twice, as it may after a
 * deadlock. Only when the database is gone is nothing tried again: whether the commit came through is not known then.
 */
export class GatheredDatabase implements Database {
  readonly #db: Database
  readonly #lanes: number
  readonly #inWork = new AsyncLocalStorage<{ open: boolean }>()
  #waiting: Waiting[] = []
  #underWay = 0

  /**
   * @param lanes transactions that may be under way at a time, default 1. With 2 the next works are asked for while the answers to the
   * ones before are still being read; what both lock, the second waits for.
   */
  constructor(db: Database, { lanes = 1 }: { readonly lanes?: number } = {}) {
    this.#db = db
    this.#lanes = lanes
  }

  get kind(): Database['kind'] {
    return this.#db.kind
  }

  async query<Row = Record<string, unknown>>(
    statement: Statement,
    params: readonly Param[] = [],
  ): Promise<Result<Row>> {
    const alone = () => this.#db.query<Row>(statement, params)
    if (statement.gathered === undefined) return alone()
    return this.#join((tx) => tx.query<Row>(statement, params), alone)
  }

  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.#join(work, () => this.#db.transaction((tx) => this.#within(() => work(tx))))
  }

  refuseNested(): void {
    if (this.#inWork.getStore()?.open) throw new GuildError('GUILD_DATABASE_NESTED')
    this.#db.refuseNested?.()
  }

  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>> {
    return this.#db.listen(channel, onNotify)
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #join<T>(work: (tx: Queryable) => Promise<T>, alone: () => Promise<T>): Promise<T> {
    this.refuseNested()
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.push({ work, alone, resolve, reject })
    if (this.#underWay < this.#lanes) {
      this.#underWay += 1
      // Not in the context of whoever came first: the turns outlive it.
      this.#inWork.exit(() => void this.#turns())
    }
    // What `work` resolves with comes back as it was.
    return promise as Promise<T>
  }

  /** Never rejects. */
  async #turns(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#arrivals()
      const together = this.#waiting.splice(0, togetherMax)
      const [only] = together
      if (together.length === 1 && only) await settle(only, only.alone)
      else await this.#together(together)
    }
    this.#underWay -= 1
  }

  /** Whoever the event loop has ready comes along; nobody waits for what is still to happen. */
  async #arrivals(): Promise<void> {
    for (let before = 0; before < this.#waiting.length && this.#waiting.length < togetherMax;) {
      before = this.#waiting.length
      await setImmediate()
    }
  }

  async #together(all: readonly Waiting[]): Promise<void> {
    try {
      const values = await this.#db.transaction((tx) => this.#sideBySide(tx, all))
      for (const [index, { resolve }] of all.entries()) resolve(values[index])
    } catch (error) {
      if (isGuildError(error, 'GUILD_DATABASE_UNAVAILABLE')) for (const { reject } of all) reject(error)
      else await Promise.all(all.map((one) => settle(one, one.alone)))
    }
  }

  async #sideBySide(tx: Queryable, all: readonly Waiting[]): Promise<readonly unknown[]> {
    await tx.query(byKeys)
    const calls = new GatheredCalls(tx)
    const outcomes = await Promise.allSettled(all.map(({ work }) => this.#within(() => work(calls))))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    calls.throwIfFailed()
    return outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : undefined))
  }

  /** A call of this database in there would wait for the end of the work that makes it. */
  async #within<T>(work: () => Promise<T>): Promise<T> {
    const state = { open: true }
    try {
      return await this.#inWork.run(state, work)
    } finally {
      state.open = false
    }
  }
}

/**
 * Gathered statements look up a few rows each by their keys. While a table is small, or was when it was last analysed, reading all of it
 * looks cheaper, and the plan stays when it has grown.
 */
const byKeys: Statement = {
  name: 'gathered.byKeys',
  // Local to the transaction: without one it changes nothing.
  reads: true,
  text: `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true)`,
}

async function settle({ resolve, reject }: Waiting, call: () => Promise<unknown>): Promise<void> {
  try {
    resolve(await call())
  } catch (error) {
    reject(error)
  }
}
