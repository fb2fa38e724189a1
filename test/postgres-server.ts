import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { sqlState } from '../src/database/database.ts'
import { loadMigrations, migrate } from '../src/database/migrate.ts'
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { reasonOf } from '../src/kernel/errors.ts'

const startMs = 30_000

interface OsUser {
  readonly uid?: number
  readonly gid?: number
}

/** Debian keeps the server's programs out of the PATH. */
export function findPostgres(): string | null {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ]
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres'))) ?? null
}

/** What a write costs: `none` for tests, whose data may go with the machine; `full` as in production. */
export type Durability = 'none' | 'full'

const writeSettings: Readonly<Record<Durability, readonly string[]>> = {
  none: ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=60'],
  full: ['fsync=on', 'synchronous_commit=on', 'full_page_writes=on', 'max_connections=200'],
}

export interface PostgresServerOptions {
  /** default `none` */
  readonly durability?: Durability
  /** more of postgresql.conf: `shared_buffers=512MB` */
  readonly settings?: readonly string[]
}

/** A private PostgreSQL server in a temporary folder, on a free port; it ends with this process, however that ends. */
export class PostgresServer implements AsyncDisposable {
  readonly #binaries: string
  readonly #folder: string
  readonly #port: number
  /** PostgreSQL refuses to run as root. */
  readonly #user: OsUser
  /** of postgresql.conf, as the server was started */
  readonly settings: readonly string[]
  #process: ChildProcess | undefined
  #template: Promise<void> | undefined
  #databases = 0

  static async start(binaries: string, options: PostgresServerOptions = {}): Promise<PostgresServer> {
    const folder = await mkdtemp(join(tmpdir(), 'guild-postgres-'))
    const user: OsUser = process.getuid?.() === 0 ? idsOf('postgres') : {}
    if (user.uid !== undefined && user.gid !== undefined) await chown(folder, user.uid, user.gid)
    const server = new PostgresServer(binaries, folder, { port: await freePort(), user, ...options })
    server.#initialise()
    await server.resume()
    return server
  }

  private constructor(
    binaries: string,
    folder: string,
    { port, user, durability = 'none', settings = [] }: PostgresServerOptions & { port: number; user: OsUser },
  ) {
    this.#binaries = binaries
    this.#folder = folder
    this.#port = port
    this.#user = user
    this.settings = [...writeSettings[durability], ...settings]
  }

  /** @returns the URL of a new database, with the current schema unless it is to be empty */
  async newDatabase(content: 'migrated' | 'empty' = 'migrated'): Promise<string> {
    if (content === 'migrated') await (this.#template ??= this.#makeTemplate())
    this.#databases += 1
    const name = `test_${this.#databases}`
    await this.#admin(`CREATE DATABASE ${name} TEMPLATE ${content === 'migrated' ? 'guild_template' : 'template1'}`)
    return this.url(name)
  }

  url(name: string): string {
    return `postgres://guild@127.0.0.1:${this.#port}/${name}`
  }

  /** Ends every connection and refuses new ones until `resume`. */
  async stop(): Promise<void> {
    const child = this.#process
    if (child === undefined) return
    this.#process = undefined
    const exit = once(child, 'exit')
    child.stdin?.end()
    await exit
  }

  /** As a power cut leaves it: no checkpoint, recovery at `resume`, unlogged tables empty. */
  async crash(): Promise<void> {
    const child = this.#process
    if (child === undefined) return
    this.#process = undefined
    const exit = once(child, 'exit')
    const [pid] = (await readFile(join(this.#folder, 'data', 'postmaster.pid'), 'utf8')).split('\n')
    process.kill(Number(pid), 'SIGQUIT')
    child.stdin?.end()
    await exit
  }

  async resume(): Promise<void> {
    const options = ['-D', join(this.#folder, 'data'), '-h', '127.0.0.1', '-p', String(this.#port), '-k', this.#folder]
    // The pipe is the leash: when this process ends, however it ends, `cat` ends and the server is told to stop.
    const leash = '"$0" "$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server'
    const postgres = join(this.#binaries, 'postgres')
    this.#process = spawn('sh', ['-c', leash, postgres, ...options, ...this.settings.flatMap((item) => ['-c', item])], {
      ...this.#user,
      cwd: this.#folder,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    await this.#ready()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  #initialise(): void {
    const options = [
      '-D',
      join(this.#folder, 'data'),
      '-U',
      'guild',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--locale=C',
      '--no-sync',
    ]
    const run = spawnSync(join(this.#binaries, 'initdb'), options, {
      ...this.#user,
      cwd: this.#folder,
      encoding: 'utf8',
      timeout: startMs,
    })
    if (run.status !== 0) throw new Error(`initdb: ${run.stderr || reasonOf(run.error)}`)
  }

  async #makeTemplate(): Promise<void> {
    await this.#admin('CREATE DATABASE guild_template')
    await using db = await PostgresDatabase.open({ url: this.url('guild_template') })
    await migrate(db, loadMigrations())
  }

  async #admin(text: string): Promise<void> {
    await using db = await PostgresDatabase.open({ url: this.url('postgres'), connectionsMax: 1 })
    await db.query({ name: '', text })
  }

  async #ready(): Promise<void> {
    for (const until = Date.now() + startMs; ; await delay(50)) {
      try {
        return await this.#admin('SELECT 1')
      } catch (error) {
        if (Date.now() > until || sqlState(error) === '28000') throw error
      }
    }
  }
}

export function idsOf(user: string): OsUser {
  const id = (flag: string) => Number(spawnSync('id', [flag, user], { encoding: 'utf8' }).stdout)
  return { uid: id('-u'), gid: id('-g') }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
