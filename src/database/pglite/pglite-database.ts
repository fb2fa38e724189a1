import { PGlite, type Results } from '@electric-sql/pglite'
import { GuildError, reasonOf } from '../../kernel/errors.ts'
import type { MigratableDatabase, Param, Result, ScriptRunner, Statement } from '../database.ts'
import { TransactionScope } from '../scope.ts'
import { decodeColumn, decodedTypes, encodeParam } from '../wire.ts'
import { Mutex } from './mutex.ts'

export interface PgliteOptions {
  /** absent: in memory */
  readonly folder?: string
  /** a dump to start from instead of an empty database; in memory only */
  readonly from?: Blob
}

/** PostgreSQL in this process. One connection: whoever comes waits in line, first come, first served. */
export class PgliteDatabase implements MigratableDatabase {
  readonly kind = 'pglite'
  readonly #engine: PGlite
  readonly #scope = new TransactionScope()
  readonly #mutex = new Mutex()
  #closing: Promise<void> | undefined

  /** Opens or creates. First creation takes seconds, opening a third of one. @throws GUILD_DATABASE_UNAVAILABLE */
  static async open({ folder, from }: PgliteOptions): Promise<PgliteDatabase> {
    try {
      const engine = await PGlite.create({ ...(folder && { dataDir: folder }), ...(from && { loadDataDir: from }) })
      // Text in, text out: the port's own mapping decides, so that both adapters agree.
      engine.serializers = new Proxy({}, { get: () => String })
      engine.parsers = Object.fromEntries(decodedTypes().map((type) => [type, (text) => decodeColumn(type, text)]))
      await engine.exec("SET TIME ZONE 'UTC'")
      return new PgliteDatabase(engine)
    } catch (error) {
      throw new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: reasonOf(error) }, { cause: error })
    }
  }

  private constructor(engine: PGlite) {
    this.#engine = engine
  }

  async query<Row>(statement: Statement, params: readonly Param[] = []): Promise<Result<Row>> {
    this.#scope.refuseNested()
    return this.#alone(() => this.#run<Row>(statement, params))
  }

  async transaction<T>(work: (tx: ScriptRunner) => Promise<T>): Promise<T> {
    this.#scope.refuseNested()
    return this.#scope.run((ensureOpen) => this.#alone(() => this.#attempt(work, ensureOpen)))
  }

  async listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>> {
    this.#scope.refuseNested()
    const listener = (from: string, payload: string) => {
      if (from === channel) this.#scope.later(() => onNotify(payload))
    }
    const stop = this.#engine.onNotification(listener)
    // LISTEN twice is once, and an engine without a listener drops the notification: there is nothing to count or to undo.
    await this.#alone(() => this.#engine.exec(`LISTEN "${channel.replaceAll('"', '""')}"`))
    return () => Promise.resolve(stop())
  }

  /** The whole database as one file, for `open({ from })`. */
  async dump(): Promise<Blob> {
    return this.#alone(() => this.#engine.dumpDataDir('none'))
  }

  async close(): Promise<void> {
    this.#scope.refuseNested()
    this.#closing ??= this.#mutex.run(() => this.#engine.close())
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #attempt<T>(work: (tx: ScriptRunner) => Promise<T>, ensureOpen: () => void): Promise<T> {
    await this.#engine.exec('BEGIN')
    try {
      const result = await work({
        query: async <Row>(statement: Statement, params: readonly Param[] = []) => {
          ensureOpen()
          return this.#run<Row>(statement, params)
        },
        script: async (text) => {
          ensureOpen()
          await this.#engine.exec(text)
        },
      })
      await this.#engine.exec('COMMIT')
      return result
    } catch (error) {
      await this.#engine.exec('ROLLBACK')
      throw error
    }
  }

  async #run<Row>(statement: Statement, params: readonly Param[]): Promise<Result<Row>> {
    return shape(await this.#engine.query<Row>(statement.text, params.map(encodeParam)))
  }

  async #alone<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'it is closed' })
    return this.#mutex.run(task)
  }
}

function shape<Row>(results: Results<Row>): Result<Row> {
  return { rows: results.rows, count: results.rowCount ?? results.affectedRows ?? results.rows.length }
}
