import { z } from 'zod'
import { GuildError } from '../../kernel/errors.ts'
import type { MigratableDatabase, Param, Result, ScriptRunner, Statement } from '../database.ts'
import { abortedTransaction, databaseFailure } from '../failure.ts'
import { Mutex } from '../mutex.ts'
import { TransactionScope, type Turn } from '../scope.ts'
import { statements } from '../statements.ts'
import { decodeColumn, encodeParam } from '../wire.ts'
import { LocalEngine, type Engine, type OnNotify, type RawResult } from './engine.ts'
import { maintenance } from './maintenance.ts'
import { WorkerEngine } from './worker-engine.ts'

const sql = statements(import.meta.url, './maintenance.sql', ['flushStatistics', 'walBytes', 'tables'])
const maintenanceMs = 20_000

/** PostgreSQL in this process. One connection: whoever comes waits in line, first come, first served. */
export class PgliteDatabase implements MigratableDatabase {
  readonly kind = 'pglite'
  readonly #engine: Engine
  readonly #listeners: Set<OnNotify>
  readonly #scope = new TransactionScope()
  readonly #mutex = new Mutex()
  readonly #onClosed: (() => Promise<void>) | undefined
  readonly #timer: NodeJS.Timeout
  #statements = 0
  #closing: Promise<void> | undefined

  /** An existing data folder, or a new one (some seconds), in a thread of its own. @throws GUILD_DATABASE_UNAVAILABLE */
  static open(folder: string, onClosed?: () => Promise<void>): Promise<PgliteDatabase> {
    return opened((onNotify) => WorkerEngine.open({ folder }, onNotify), onClosed)
  }

  /** A database that lives as long as this object, in this thread, empty or from a dump. */
  static inMemory(dump?: Uint8Array<ArrayBuffer>): Promise<PgliteDatabase> {
    return opened((onNotify) => LocalEngine.open(dump ? { dump } : {}, onNotify))
  }

  constructor(engine: Engine, listeners: Set<OnNotify>, onClosed?: () => Promise<void>) {
    this.#engine = engine
    this.#onClosed = onClosed
    this.#listeners = listeners
    this.#timer = setInterval(() => void this.#maintainIfUsed(), maintenanceMs).unref()
  }

  async query<Row>(statement: Statement, params: readonly Param[] = []): Promise<Result<Row>> {
    this.#scope.refuseNested()
    return this.#alone(() => this.#run<Row>(statement, params))
  }

  async transaction<T>(work: (tx: ScriptRunner) => Promise<T>): Promise<T> {
    this.#scope.refuseNested()
    return this.#scope.run((turn) => this.#alone(() => this.#attempt(work, turn)))
  }

  refuseNested(): void {
    this.#scope.refuseNested()
  }

  async listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>> {
    this.#scope.refuseNested()
    const listener: OnNotify = (from, payload) => {
      if (from === channel) this.#scope.later(() => this.#listeners.has(listener) && onNotify(payload))
    }
    this.#listeners.add(listener)
    // LISTEN twice is once, and a channel nobody has a listener for costs nothing: there is nothing to count or to undo.
    await this.#alone(() => explained('LISTEN', this.#engine.run(`LISTEN "${channel.replaceAll('"', '""')}"`, [])))
    return () => Promise.resolve(void this.#listeners.delete(listener))
  }

  /** What autovacuum and the checkpointer of a server would do now; called every 20 s of use. */
  async maintain(): Promise<readonly string[]> {
    const health = await this.#alone(async () => {
      // Without a server the counters wait in this backend until told.
      await this.#run(sql.flushStatistics, [])
      const [wal] = walRows.parse((await this.#run(sql.walBytes, [])).rows)
      return { walBytes: wal.bytes, tables: tableRows.parse((await this.#run(sql.tables, [])).rows) }
    })
    const work = maintenance(health)
    for (const text of work) await this.#alone(() => this.#engine.script(text))
    return work
  }

  /** The whole database as one file, for `inMemory`. */
  dump(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#alone(() => this.#engine.dump())
  }

  async close(): Promise<void> {
    this.#scope.refuseNested()
    clearInterval(this.#timer)
    this.#closing ??= this.#mutex.run(async () => {
      await this.#engine.close()
      await this.#onClosed?.()
    })
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #attempt<T>(work: (tx: ScriptRunner) => Promise<T>, turn: Turn): Promise<T> {
    // Served before whatever comes next: nobody need wait for its answer before asking.
    const begun = explained('BEGIN', this.#engine.run('BEGIN', []))
    begun.catch(() => undefined) // told below
    try {
      const result = await work({
        query: async <Row>(statement: Statement, params: readonly Param[] = []) => {
          turn.ensureOpen()
          return this.#run<Row>(statement, params)
        },
        script: async (text) => {
          turn.ensureOpen()
          await explained('a script', this.#engine.script(text))
        },
      })
      turn.end()
      await begun
      const commit = await explained('COMMIT', this.#engine.run('COMMIT', []))
      if (commit.tag === 'ROLLBACK') throw abortedTransaction()
      return result
    } catch (error) {
      turn.end()
      await explained('ROLLBACK', this.#engine.run('ROLLBACK', []))
      throw error
    }
  }

  async #run<Row>(statement: Statement, params: readonly Param[]): Promise<Result<Row>> {
    this.#statements += 1
    const encoded = params.map(encodeParam)
    return decodeResult(await explained(statement.name, this.#engine.run(statement.text, encoded)))
  }

  async #alone<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'it is closed' })
    return this.#mutex.run(task)
  }

  async #maintainIfUsed(): Promise<void> {
    if (this.#statements === 0) return
    this.#statements = 0
    try {
      await this.maintain()
    } catch {
      // Closed in the meantime, its thread died, or a table is damaged: nobody waits for this, so thrown it would end the process. The
      // next statement says so to somebody who can act on it, and what was not done now is done in 20 s.
    }
  }
}

const walRows = z.tuple([z.object({ bytes: z.number() })])
const tableRows = z.array(z.object({ name: z.string(), live: z.number(), dead: z.number(), modified: z.number() }))

async function opened(
  engine: (onNotify: OnNotify) => Promise<Engine>,
  onClosed?: () => Promise<void>,
): Promise<PgliteDatabase> {
  const listeners = new Set<OnNotify>()
  try {
    const onNotify: OnNotify = (channel, payload) => {
      for (const listener of listeners) listener(channel, payload)
    }
    return new PgliteDatabase(await engine(onNotify), listeners, onClosed)
  } catch (error) {
    throw databaseFailure(error, 'the start')
  }
}

async function explained<T>(statement: string, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw databaseFailure(error, statement)
  }
}

function decodeResult<Row>({ columns, rows, count }: RawResult): Result<Row> {
  const decoded = rows.map((values) =>
    Object.fromEntries(
      columns.map(({ name, type }, index) => {
        const value = values[index] ?? null
        return [name, value === null ? null : decodeColumn(type, value)]
      }),
    ),
  )
  // The caller names the shape of its own statement, or parses the rows with a schema.
  return { rows: decoded as unknown as readonly Row[], count }
}
