/** A fixed SQL text with a name, loaded from a `.sql` file by `statements()`. The name serves prepared statements and traces. */
export interface Statement {
  readonly name: string
  readonly text: string
  /** It changes nothing, and needs nothing locked: as the first of a transaction it may travel together with its BEGIN. */
  readonly reads?: true
  /** Says how calls of many callers become one; absent: each is a call of its own. */
  readonly gathered?: Gathered
}

/** How `GatheredDatabase` asks once for many callers. */
export interface Gathered {
  /**
   * Does for many what the statement does for one; its rows say in `nth` whose they are (1 is the first), and a caller's `count` is the
   * number of its rows. It is planned for a few rows by their keys. Absent: the statement itself.
   */
  readonly many?: Statement
  /** the parameters of one call for all */
  readonly merge: (calls: readonly (readonly Param[])[]) => readonly Param[]
  /** calls with the same key go together; default: all */
  readonly key?: (params: readonly Param[]) => string
  /** `alone`: an answer without rows is none, and each is called by itself */
  readonly empty?: 'alone'
}

export interface Result<Row> {
  readonly rows: readonly Row[]
  /** rows inserted, updated, deleted or selected */
  readonly count: number
}

/**
 * Parameters and rows are the same on every adapter:
 * - bind: null, boolean, number, string, Date, and arrays of string or number (for `= ANY($1::text[])`, `unnest`). JSON is bound
 *   as text: `JSON.stringify(x)` with `$n::jsonb`. Bulk: one JSON text and `jsonb_to_recordset($1::jsonb) AS t(…)`.
 * - read: int2/4/8 and float as number (an int8 beyond 2^53 throws), numeric as string, timestamptz as Date, json/jsonb parsed,
 *   text[] as string[], bytea as Uint8Array; everything else (date, uuid, interval …) as PostgreSQL's text.
 */
export type Param = null | boolean | number | string | Date | readonly (string | null)[] | readonly number[]

export interface Queryable {
  query<Row = Record<string, unknown>>(statement: Statement, params?: readonly Param[]): Promise<Result<Row>>
}

/**
 * PostgreSQL as the rest of the product sees it. The conformance suite proves each sentence for every adapter.
 *
 * - `transaction` commits when `work` resolves and rolls back when it rejects. It is short: it never waits for anything outside the
 *   database (the embedded adapter has one connection). Serialisation failures and deadlocks (40001, 40P01) are retried, up to 5 times.
 * - Statements that a transaction is given at once run in the order given; when one fails, so do those behind it.
 * - Calling `query` or `transaction` of the database inside its own `work` throws GUILD_DATABASE_NESTED instead of waiting for itself.
 * - `listen` calls back for every NOTIFY on the channel after it has resolved; after a lost connection it listens again and calls
 *   back once with '' (something may have been missed).
 * - A lost connection or a shut-down server rejects with GUILD_DATABASE_UNAVAILABLE (retryable); a unique violation and other
 *   SQLSTATEs with GUILD_DATABASE_REFUSED, which keeps the driver's error as `cause`, readable by `sqlState(error)`.
 * - An error thrown by `work` itself comes out of `transaction` as it was.
 * - `close` waits for what runs, then frees everything. Closing twice is fine.
 */
export interface Database extends Queryable, AsyncDisposable {
  readonly kind: 'postgres' | 'pglite'
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>
  /** For who makes one call of many callers': throws GUILD_DATABASE_NESTED where a call of the caller's own would. */
  refuseNested?(): void
  /** @returns stops listening */
  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>>
  close(): Promise<void>
}

/** The five characters of PostgreSQL's error code (`23505`: unique violation), or undefined if the error is not one of SQL. */
export function sqlState(error: unknown): string | undefined {
  for (let one = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth += 1) {
    // EPIPE has five characters too, but only an answer of PostgreSQL has a severity.
    if ('severity' in one && 'code' in one && typeof one.code === 'string') return one.code
  }
  return undefined
}

/** What migrations need beyond the port: several statements in one text. */
export interface ScriptRunner extends Queryable {
  script(text: string): Promise<void>
}

/** A `Database` whose transactions also run scripts. Every adapter is one; components see a `Database`. */
export interface MigratableDatabase extends Database {
  transaction<T>(work: (tx: ScriptRunner) => Promise<T>): Promise<T>
}
