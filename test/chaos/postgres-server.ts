import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PostgresDatabase } from '../../src/database/postgres/postgres-database.ts'
import { freePort } from './free-port.ts'
import { keep } from './process.ts'
import { must, waitFor } from './wait.ts'

const startMs = 60_000
const initMs = 60_000

/** PostgreSQL refuses to run as root. */
interface OsUser {
  readonly uid?: number
  readonly gid?: number
}

/** A PostgreSQL of its own, as durable as in production: fsync, full pages, synchronous commits. It is killed here. */
export class PostgresServer implements AsyncDisposable {
  readonly port: number
  readonly #binaries: string
  readonly #folder: string
  readonly #user: OsUser
  #leash: ChildProcess | null = null

  /** @throws when this machine has no PostgreSQL */
  static async open(parent: string): Promise<PostgresServer> {
    const binaries = findBinaries()
    if (binaries === null) throw new Error('there is no PostgreSQL in /usr/lib/postgresql or on the PATH')
    const folder = join(parent, 'postgres')
    await mkdir(folder)
    const user: OsUser = process.getuid?.() === 0 ? idsOf('postgres') : {}
    if (user.uid !== undefined && user.gid !== undefined) {
      await chown(folder, user.uid, user.gid)
      await chown(parent, user.uid, user.gid) // it is 0700, and the server must pass
    }
    const server = new PostgresServer(binaries, folder, await freePort(), user)
    server.#initialise()
    await server.start()
    return server
  }

  private constructor(binaries: string, folder: string, port: number, user: OsUser) {
    this.#binaries = binaries
    this.#folder = folder
    this.port = port
    this.#user = user
  }

  /** Past the proxy when no port is given. */
  url(port = this.port): string {
    return `postgres://guild@127.0.0.1:${port}/postgres`
  }

  /** After a crash it recovers first; resolves when it answers. */
  async start(): Promise<void> {
    const args = ['-D', join(this.#folder, 'data'), '-h', '127.0.0.1', '-p', String(this.port), '-k', this.#folder]
    const settings = ['max_connections=250', 'shared_buffers=256MB', 'max_wal_size=2GB', 'log_min_messages=warning']
    const command = [join(this.#binaries, 'postgres'), ...args, ...settings.flatMap((setting) => ['-c', setting])]
    // The pipe is the leash: when this process ends, however it ends, `cat` ends and the server is told to stop.
    const leash = '"$0" "$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server'
    const deadline = performance.now() + startMs
    for (;;) {
      this.#leash = keep(
        spawn('sh', ['-c', leash, ...command], {
          ...this.#user,
          cwd: this.#folder,
          stdio: ['pipe', 'ignore', 'ignore'],
        }),
      )
      // Right after a kill the last children of the old one may still hold its memory: then the new one refuses to start.
      const ready = await waitFor(() => this.#answers(), 5_000, 50)
      if (ready) return
      await this.#release()
      if (performance.now() > deadline) throw new Error(`PostgreSQL does not start in ${this.#folder}`)
    }
  }

  /** `SIGQUIT`: immediate shutdown, `SIGINT`: fast. Resolves when the postmaster is gone. */
  async end(signal: 'SIGQUIT' | 'SIGINT' | 'SIGKILL'): Promise<void> {
    const pid = this.#postmaster()
    process.kill(pid, signal)
    await must(() => !alive(pid), startMs, 'PostgreSQL has ended')
    await this.#release()
  }

  /** Kills one process that serves a client: the postmaster ends all others and recovers. @returns whether there was one */
  killBackend(pick: (pids: readonly number[]) => number): boolean {
    const { stdout } = spawnSync('ps', ['-o', 'pid=,args=', '--ppid', String(this.#postmaster())], { encoding: 'utf8' })
    const pids = stdout
      .split('\n')
      .filter((line) => line.includes('127.0.0.1('))
      .map((line) => Number.parseInt(line, 10))
    if (pids.length === 0) return false
    process.kill(pick(pids), 'SIGKILL')
    return true
  }

  async ready(): Promise<void> {
    await must(() => this.#answers(), startMs, 'PostgreSQL answers')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release()
  }

  async #release(): Promise<void> {
    const leash = this.#leash
    this.#leash = null
    if (!leash || leash.exitCode !== null || leash.signalCode !== null) return
    const exit = once(leash, 'exit')
    leash.stdin?.end()
    await exit
  }

  #postmaster(): number {
    return Number.parseInt(readFileSync(join(this.#folder, 'data', 'postmaster.pid'), 'utf8'), 10)
  }

  async #answers(): Promise<boolean> {
    try {
      await using db = await PostgresDatabase.open({ url: this.url(), connectionsMax: 1 })
      await db.query({ name: '', text: 'SELECT 1' })
      return true
    } catch {
      return false // not yet
    }
  }

  #initialise(): void {
    const data = join(this.#folder, 'data')
    const args = ['-D', data, '-U', 'guild', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
    const initdb = join(this.#binaries, 'initdb')
    const made = spawnSync(initdb, args, { ...this.#user, cwd: this.#folder, encoding: 'utf8', timeout: initMs })
    if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`)
  }
}

function alive(pid: number): boolean {
  // One that has ended and waits for its parent is not.
  return /^[^Z\s]/.test(spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout)
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

function idsOf(user: string): OsUser {
  const id = (flag: string) => Number(spawnSync('id', [flag, user], { encoding: 'utf8' }).stdout)
  return { uid: id('-u'), gid: id('-g') }
}
