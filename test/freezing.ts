import type { Database, Param, Queryable, Result, Statement } from '../src/database/database.ts'
import { type Clock, systemClock } from '../src/kernel/clock.ts'

/**
 * A process that is stopped as `kill -STOP` stops it: at one round trip to the database, before it leaves or after its answer, and from
 * then on with every timer and every other round trip too. Thawed, it goes on in the belief that no time has passed; its clock knows better.
 */
export class Freezing {
  readonly #db: Database
  readonly #at: number
  readonly #when: 'before' | 'after'
  readonly #frozen = Promise.withResolvers<void>()
  readonly #thawed = Promise.withResolvers<void>()
  #state: 'running' | 'frozen' | 'thawed' = 'running'
  #aheadMs = 0
  trips = 0
  /** what was asked of the database, one list for each round trip */
  readonly asked: string[][] = []

  constructor(db: Database, at = Number.POSITIVE_INFINITY, when: 'before' | 'after' = 'before') {
    this.#db = db
    this.#at = at
    this.#when = when
  }

  /** Resolves when the process stands still. */
  get frozen(): Promise<void> {
    return this.#frozen.promise
  }

  freeze(): void {
    if (this.#state !== 'running') return
    this.#state = 'frozen'
    this.#frozen.resolve()
  }

  /** @param afterMs how long it stood still */
  thaw(afterMs: number): void {
    this.#aheadMs = afterMs
    this.#state = 'thawed'
    this.#thawed.resolve()
  }

  /** To be awaited wherever the process does something else than ask its database. */
  async pass(): Promise<void> {
    if (this.#state === 'frozen') await this.#thawed.promise
  }

  readonly clock: Clock = {
    now: () => new Date(systemClock.now().getTime() + this.#aheadMs),
    sleep: async (ms, signal) => {
      await systemClock.sleep(ms, signal)
      await this.pass()
    },
  }

  get database(): Database {
    const none = () => Promise.resolve()
    return {
      kind: this.#db.kind,
      query: <Row>(statement: Statement, params: readonly Param[] = []): Promise<Result<Row>> =>
        this.#trip([statement.name], () => this.#db.query<Row>(statement, params)),
      transaction: <T>(work: (tx: Queryable) => Promise<T>): Promise<T> => {
        const names: string[] = []
        const counted = (tx: Queryable): Queryable => ({
          query: (statement, params) => {
            names.push(statement.name)
            return tx.query(statement, params)
          },
        })
        return this.#trip(names, () => this.#db.transaction((tx) => work(counted(tx))))
      },
      listen: () => Promise.resolve(none),
      close: none,
      [Symbol.asyncDispose]: none,
    }
  }

  async #trip<T>(names: string[], work: () => Promise<T>): Promise<T> {
    await this.pass()
    // Heartbeats come when they like; they are no edge of the journal.
    const counts = names[0] !== 'journal.beat'
    if (counts) this.asked.push(names)
    const edge = counts && (this.trips += 1) === this.#at
    if (edge && this.#when === 'before') this.freeze()
    await this.pass()
    const result = await work()
    if (edge) this.freeze()
    await this.pass()
    return result
  }
}
