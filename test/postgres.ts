import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll } from 'vitest'
import { loadMigrations, migrate } from '../src/database/migrate.ts'
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { sqlState } from '../src/database/database.ts'
import { reasonOf } from '../src/kernel/errors.ts'

const startMs = 30_000

interface OsUser {
  readonly uid?: number
  readonly gid?: number
}

/**
 * A fresh migrated database on a PostgreSQL server that belongs to this test file, or null, with the reason printed, when the machine
 * has no PostgreSQL. With `postgres` in GUILD_TEST_REQUIRE its absence fails.
 */
export async function openTestPostgres(): Promise<PostgresDatabase | null> {
  const server = await testPostgres()
  return server === null ? null : PostgresDatabase.open({ url: await server.newDatabase() })
}

/** The server itself, for tests that stop it. One per test file; it ends with the file. */
export async function testPostgres(): Promise<TestPostgres | null> {
  started ??= start()
  return started
}

let started: Promise<TestPostgres | null> | undefined
afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

async function start(): Promise<TestPostgres | null> {
  const binaries = findBinaries()
  if (binaries !== null) return TestPostgres.start(binaries)
  const reason = 'no PostgreSQL binaries in /usr/lib/postgresql/*/bin or on the PATH'
  if (process.env['GUILD_TEST_REQUIRE']?.includes('postgres')) throw new Error(reason)
  process.stderr.write(`skipped: tests on a PostgreSQL server (${reason}; apt-get install postgresql)\n`)
  return null
}

/** Debian keeps the server's programs out of the PATH. */
function findBinaries(): string | null {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ]
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres'))) ?? null
}

export class TestPostgres implements AsyncDisposable {
  readonly #binaries: string
  readonly #folder: string
  readonly #port: number
  /** PostgreSQL refuses to run as root. */
  readonly #user: OsUser
  #process: ChildProcess | undefined
  #template: Promise<void> | undefined
  #databases = 0

  static async start(binaries: string): Promise<TestPostgres> {
    const folder = await mkdtemp(join(tmpdir(), 'guild-postgres-'))
    const user: OsUser = process.getuid?.() === 0 ? idsOf('postgres') : {}
    if (user.uid !== undefined && user.gid !== undefined) await chown(folder, user.uid, user.gid)
    const server = new TestPostgres(binaries, folder, await freePort(), user)
    server.#initialise()
    await server.resume()
    return server
  }

  private constructor(binaries: string, folder: string, port: number, user: OsUser) {
    this.#binaries = binaries
    this.#folder = folder
    this.#port = port
    this.#user = user
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

  async resume(): Promise<void> {
    const settings = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=60']
    const options = ['-D', join(this.#folder, 'data'), '-h', '127.0.0.1', '-p', String(this.#port), '-k', this.#folder]
    // The pipe is the leash: when this process ends, however it ends, `cat` ends and the server is told to stop.
    const leash = '"$0" "$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server'
    const postgres = join(this.#binaries, 'postgres')
    this.#process = spawn('sh', ['-c', leash, postgres, ...options, ...settings.flatMap((item) => ['-c', item])], {
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

function idsOf(user: string): OsUser {
  const id = (flag: string) => Number(spawnSync('id', [flag, user], { encoding: 'utf8' }).stdout)
  return { uid: id('-u'), gid: id('-g') }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
