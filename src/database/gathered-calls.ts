import type { Param, Queryable, Result, Statement } from './database.ts'

interface Call {
  readonly statement: Statement
  readonly params: readonly Param[]
  readonly resolve: (result: Result<unknown>) => void
  readonly reject: (error: unknown) => void
}

/**
 * The statements of works that run side by side in one transaction. What they ask for at the same moment, that is, before any of them
 * has gone on, is asked together: in the order of the first of each kind, so that each work's own statements stay in its order.
 */
export class GatheredCalls implements Queryable {
  readonly #tx: Queryable
  #calls: Call[] = []
  #failed = false
  #failure: unknown

  constructor(tx: Queryable) {
    this.#tx = tx
  }

  query<Row = Record<string, unknown>>(statement: Statement, params: readonly Param[] = []): Promise<Result<Row>> {
    const { promise, resolve, reject } = Promise.withResolvers<Result<unknown>>()
    this.#calls.push({ statement, params, resolve, reject })
    if (this.#calls.length === 1) setImmediate(() => this.#ask())
    // The caller names the shape of its own statement.
    return promise as Promise<Result<Row>>
  }

  /** Also when the work that was told has kept it to itself: nothing of the transaction can be kept. */
  throwIfFailed(): void {
    if (this.#failed) throw this.#failure
  }

  #ask(): void {
    const calls = this.#calls
    this.#calls = []
    for (const alike of kinds(calls)) void this.#askAlike(alike)
  }

  async #askAlike(calls: readonly Call[]): Promise<void> {
    const [first] = calls
    const gathered = first?.statement.gathered
    if (first === undefined || gathered === undefined || calls.length === 1) return this.#askEach(calls)
    try {
      const asked = calls.map(({ params }) => params)
      const { rows } = await this.#tx.query<{ nth?: number }>(gathered.many ?? first.statement, gathered.merge(asked))
      if (rows.length === 0 && gathered.empty === 'alone') return await this.#askEach(calls)
      const shares = calls.map((): unknown[] => [])
      for (const row of rows) shares[(row.nth ?? 0) - 1]?.push(row)
      for (const [index, { resolve }] of calls.entries()) {
        const share = shares[index] ?? []
        resolve({ rows: share, count: share.length })
      }
    } catch (error) {
      this.#fail(error)
      for (const { reject } of calls) reject(error)
    }
  }

  async #askEach(calls: readonly Call[]): Promise<void> {
    await Promise.all(
      calls.map(async ({ statement, params, resolve, reject }) => {
        try {
          resolve(await this.#tx.query(statement, params))
        } catch (error) {
          this.#fail(error)
          reject(error)
        }
      }),
    )
  }

  /** The first failure is the cause: what follows only says that the transaction is aborted. */
  #fail(error: unknown): void {
    if (!this.#failed) this.#failure = error
    this.#failed = true
  }
}

/** Calls that go together, in the order of the first of each. */
function kinds(calls: readonly Call[]): Iterable<readonly Call[]> {
  const alike = new Map<string, Call[]>()
  for (const call of calls) {
    const { statement, params } = call
    const key = `${statement.name}\n${statement.gathered?.key?.(params) ?? ''}`
    const known = alike.get(key)
    if (known) known.push(call)
    else alike.set(key, [call])
  }
  return alike.values()
}
