import type { Database, Param, Queryable, Result, Statement } from '../src/database/database.ts'

/** Counts what goes through it: statements by name with the time each took, and calls of `query` or `transaction`. */
export class CountedDatabase implements Database {
  readonly #db: Database
  readonly #byName = new Map<string, { count: number; ms: number }>()
  trips = 0

  constructor(db: Database) {
    this.#db = db
  }

  get kind(): Database['kind'] {
    return this.#db.kind
  }

  get statements(): number {
    return [...this.#byName.values()].reduce((sum, { count }) => sum + count, 0)
  }

  /** What took most, first. */
  table(): readonly { readonly name: string; readonly count: number; readonly ms: number }[] {
    return [...this.#byName].map(([name, figures]) => ({ name, ...figures })).sort((a, b) => b.ms - a.ms)
  }

  reset(): void {
    this.#byName.clear()
    this.trips = 0
  }

  query<Row>(statement: Statement, params?: readonly Param[]): Promise<Result<Row>> {
    this.trips += 1
    return this.#timed(statement, () => this.#db.query<Row>(statement, params))
  }

  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    this.trips += 1
    return this.#db.transaction((tx) =>
      work({
        query: <Row>(statement: Statement, params?: readonly Param[]) =>
          this.#timed(statement, () => tx.query<Row>(statement, params)),
      }),
    )
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

  async #timed<T>({ name }: Statement, call: () => Promise<T>): Promise<T> {
    const began = performance.now()
    try {
      return await call()
    } finally {
      const known = this.#byName.get(name) ?? { count: 0, ms: 0 }
      this.#byName.set(name, { count: known.count + 1, ms: known.ms + performance.now() - began })
    }
  }
}
