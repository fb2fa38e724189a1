import { Pool, type Client, type ClientBase, type CustomTypesConfig, type QueryConfig } from 'pg'
import { GuildError } from '../../kernel/errors.ts'
import { sha256 } from '../../kernel/ids.ts'
import type { MigratableDatabase, Param, Result, ScriptRunner, Statement } from '../database.ts'
import { abortedTransaction, databaseFailure } from '../failure.ts'
import { TransactionScope, type Turn } from '../scope.ts'
import { decodeColumn, encodeParam } from '../wire.ts'
import { PostgresListener } from './postgres-listener.ts'

export interface PostgresOptions {
  /** `postgres://user:password@host:5432/name?sslmode=…` */
  readonly url: string
  /** default 10 */
  readonly connectionsMax?: number
  /** A statement that takes longer is cancelled by the server. Default 30 000. Migrations have no such limit. */
  readonly statementMs?: number
}

const connectMs = 5000
/** A new connection plans each of its statements anew, up to six times: some 100 ms in all, which the next burst of work would pay. */
const idleMs = 300_000
const serverVersionMin = 150_000

/** A PostgreSQL server through a pool of connections. */
export class PostgresDatabase implements MigratableDatabase {
  readonly kind = 'postgres'
  readonly #pool: Pool
  readonly #listener: PostgresListener
  readonly #scope = new TransactionScope()
  readonly #running = new Set<Promise<unknown>>()
  readonly #names = new Map<string, string>()
  #closing: Promise<void> | undefined

  /** @throws GUILD_DATABASE_UNAVAILABLE, GUILD_DATABASE_TOO_OLD below PostgreSQL 15, GUILD_DATABASE_NO_ACCESS for a wrong password or name */
  static async open({ url, connectionsMax = 10, statementMs = 30_000 }: PostgresOptions): Promise<PostgresDatabase> {
    const config = {
      connectionString: url,
      connectionTimeoutMillis: connectMs,
      keepAlive: true,
      application_name: 'guild',
      statement_timeout: statementMs,
      // Our transactions wait for nothing outside the database; one that does must not hold its locks for ever.
      idle_in_transaction_session_timeout: statementMs,
      // Our statements are short: to compile one takes longer than to carry it out.
      options: '-c timezone=UTC -c jit=off',
    }
    // Statements given at once leave at once, and the server takes them in their order: one wait for all of them.
    const pool = new Pool({ ...config, max: connectionsMax, idleTimeoutMillis: idleMs, pipeline: true })
    const db = new PostgresDatabase(pool, new PostgresListener({ ...config, statement_timeout: 0 }))
    try {
      const { rows } = await db.query<{ version: number }>(serverVersion)
      const version = rows[0]?.version ?? 0
      if (version >= serverVersionMin) return db
      throw new GuildError('GUILD_DATABASE_TOO_OLD', {
        have: Math.floor(version / 10_000),
        need: Math.floor(serverVersionMin / 10_000),
      })
    } catch (error) {
      await db.close()
      throw error
    }
  }

  private constructor(pool: Pool, listener: PostgresListener) {
    this.#pool = pool
    this.#listener = listener
    // An idle connection that the server closed: the pool has dropped it already, the next query opens another.
    pool.on('error', () => undefined)
    // A server that shuts down speaks when nobody listens: between idle and taken, and after a failed client was given back. Such a word
    // has no statement to fail, and unhandled it would end the process.
    pool.on('connect', (client) => client.on('error', () => undefined))
  }

  async query<Row>(statement: Statement, params: readonly Param[] = []): Promise<Result<Row>> {
    this.#scope.refuseNested()
    return this.#tracked(() =>
      this.#connected(async (client) => {
        const { rows, count } = await this.#run<Row>(client, statement, params)
        return { rows, count }
      }),
    )
  }

  async transaction<T>(work: (tx: ScriptRunner) => Promise<T>): Promise<T> {
    this.#scope.refuseNested()
    return this.#tracked(() =>
      this.#scope.run((turn) => this.#connected((client) => this.#attempt(client, work, turn))),
    )
  }

  refuseNested(): void {
    this.#scope.refuseNested()
  }

  async listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>> {
    this.#scope.refuseNested()
    return this.#tracked(() => this.#listener.listen(channel, (payload) => this.#scope.later(() => onNotify(payload))))
  }

  async close(): Promise<void> {
    this.#scope.refuseNested()
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #shutDown(): Promise<void> {
    // `end` would leave those waiting for a connection waiting for ever.
    await Promise.allSettled(this.#running)
    await Promise.all([this.#pool.end(), this.#listener.close()])
  }

  async #attempt<T>(client: ClientBase, work: (tx: ScriptRunner) => Promise<T>, turn: Turn): Promise<T> {
    const command = (name: string, text = name) => this.#run(client, { name, text }, [], { prepared: false })
    const begun = command('BEGIN')
    // Told to whoever waits for it below; nobody may.
    begun.catch(() => undefined)
    let first = true
    try {
      const result = await work({
        query: async <Row>(statement: Statement, params: readonly Param[] = []) => {
          turn.ensureOpen()
          // Without a transaction, should BEGIN ever fail, nothing but a question may have run.
          const travels = first && statement.reads === true
          first = false
          if (!travels) {
            await begun
            turn.ensureOpen()
          }
          const answer = await this.#run<Row>(client, statement, params)
          await begun
          return answer
        },
        script: async (text) => {
          turn.ensureOpen()
          await begun
          turn.ensureOpen()
          await command('SET LOCAL statement_timeout = 0')
          await command('a script', text)
        },
      })
      turn.end()
      await begun
      const commit = await command('COMMIT')
      if (commit.command === 'ROLLBACK') throw abortedTransaction()
      return result
    } catch (error) {
      turn.end()
      await command('ROLLBACK')
      throw error
    }
  }

  async #run<Row>(
    client: ClientBase,
    statement: Statement,
    params: readonly Param[],
    { prepared = statement.name !== '' } = {},
  ): Promise<Result<Row> & { readonly command: string }> {
    const query: QueryConfig = { text: statement.text, types: portTypes }
    if (prepared) query.name = this.#nameOf(statement)
    if (params.length > 0) query.values = params.map(encodeParam)
    gatherWrites(client)
    try {
      const result = await client.query(query)
      return { rows: result.rows as readonly Row[], count: result.rowCount ?? 0, command: result.command }
    } catch (error) {
      throw databaseFailure(error, statement.name)
    }
  }

  /** Two folders may have a statement of the same name; the hash keeps them apart. PostgreSQL allows 63 characters. */
  #nameOf({ name, text }: Statement): string {
    const known = this.#names.get(text)
    if (known !== undefined) return known
    const fresh = `${name.slice(0, 40)}.${sha256(text).slice(0, 16)}`
    this.#names.set(text, fresh)
    return fresh
  }

  async #connected<T>(work: (client: ClientBase) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw databaseFailure(error, 'connect')
    })
    // Between two of our statements a connection may break without anybody waiting on it; the next statement reports it.
    let lost: Error | undefined
    const onError = (error: Error) => {
      lost = error
    }
    client.on('error', onError)
    try {
      return await work(client)
    } catch (error) {
      if (error instanceof GuildError && error.code === 'GUILD_DATABASE_UNAVAILABLE') lost ??= error
      throw error
    } finally {
      client.off('error', onError)
      client.release(lost)
    }
  }

  #tracked<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined)
      return Promise.reject(new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'it is closed' }))
    const run = task()
    this.#running.add(run)
    return run.finally(() => this.#running.delete(run))
  }
}

/** What is asked in one tick leaves in one write: on a socket of the same machine a write takes as long as a small statement. */
function gatherWrites(client: ClientBase): void {
  const { stream } = (client as ClientBase & Pick<Client, 'connection'>).connection // those of a pool have one too
  if (stream.writableCorked > 0) return
  stream.cork()
  process.nextTick(() => stream.uncork())
}

const serverVersion: Statement = {
  name: '',
  text: "SELECT current_setting('server_version_num')::int4 AS version",
}

const portTypes: CustomTypesConfig = {
  getTypeParser: (type: number) => (value: string | Buffer) => decodeColumn(type, String(value)),
}
