import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, mkdir, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { isGuildError } from '../src/kernel/errors.ts'
import { type Log, silentLog } from '../src/kernel/log.ts'
import { Secret } from '../src/kernel/secret.ts'
import { Redis } from '../src/redis/redis.ts'

const startMs = 20_000

/** Writes every command to its append-only file before it answers, so that kill -9 loses nothing unless the test wants it. */
export class TestRedis implements AsyncDisposable {
  readonly url: string
  readonly #folder: string
  readonly #port: number
  readonly #mode: 'server' | 'cluster'
  #running: { readonly leash: ChildProcess; readonly pid: number } | undefined

  static async start(mode: 'server' | 'cluster' = 'server'): Promise<TestRedis> {
    const folder = await mkdtemp(join(tmpdir(), 'guild-redis-'))
    const server = new TestRedis(folder, await freePort(), mode)
    await server.restart()
    return server
  }

  private constructor(folder: string, port: number, mode: 'server' | 'cluster') {
    this.#folder = folder
    this.#port = port
    this.#mode = mode
    this.url = `redis://127.0.0.1:${port}${mode === 'cluster' ? '?cluster=true' : ''}`
  }

  /** A connection of the product; close it. */
  async open(options: { readonly log?: Log; readonly commandMs?: number } = {}): Promise<Redis> {
    return Redis.open({ url: new Secret(this.url), setting: 'REDIS_URL', log: silentLog, ...options })
  }

  /** kill -9 */
  async kill(): Promise<void> {
    if (this.#running === undefined) return
    const { leash, pid } = this.#running
    this.#running = undefined
    process.kill(pid, 'SIGKILL')
    const exit = once(leash, 'exit')
    leash.stdin?.end()
    await exit
  }

  /** Starts it again on the same port. @param data whether what it had on disk is still there */
  async restart(data: 'kept' | 'lost' = 'kept'): Promise<void> {
    await this.kill()
    const folder = join(this.#folder, 'data')
    if (data === 'lost') await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    const options = ['--bind', '127.0.0.1', '--port', String(this.#port), '--dir', folder, '--save', '']
    options.push('--appendonly', 'yes', '--appendfsync', 'no')
    if (this.#mode === 'cluster') options.push('--cluster-enabled', 'yes')
    // The pipe is the leash: when this process ends, however it ends, `cat` ends and the server is killed.
    const text =
      '"$0" "$@" >/dev/null & server=$!; echo $server; cat >/dev/null; kill -9 $server 2>/dev/null; wait $server'
    const leash = spawn('sh', ['-c', text, 'redis-server', ...options], { stdio: ['pipe', 'pipe', 'ignore'] })
    const [pid] = (await once(createInterface(leash.stdout), 'line')) as [string]
    this.#running = { leash, pid: Number(pid) }
    await this.#ready()
  }

  async flush(): Promise<void> {
    await this.command('FLUSHALL')
  }

  /** SIGSTOP: it is there and answers nothing. */
  pause(): void {
    if (this.#running) process.kill(this.#running.pid, 'SIGSTOP')
  }

  resume(): void {
    if (this.#running) process.kill(this.#running.pid, 'SIGCONT')
  }

  /** Over a connection of its own. */
  async command(...args: readonly [string, ...string[]]): Promise<unknown> {
    const url = new Secret(`redis://127.0.0.1:${this.#port}`)
    await using redis = await Redis.open({ url, setting: 'REDIS_URL', log: silentLog })
    return redis.command('', args)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #ready(): Promise<void> {
    for (const until = Date.now() + startMs; ; await delay(20)) {
      try {
        await this.command('PING')
        if (this.#mode === 'server') return
        const info = String(await this.command('CLUSTER', 'INFO'))
        if (info.includes('cluster_state:ok')) return
        if (info.includes('cluster_slots_assigned:0')) await this.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
      } catch (error) {
        if (Date.now() > until || !isGuildError(error, 'GUILD_REDIS_UNAVAILABLE')) throw error
      }
      if (Date.now() > until) throw new Error('redis-server did not become ready')
    }
  }
}

async function freePort(): Promise<number> {
  // A cluster node takes a second port, 10 000 above.
  for (;;) {
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address() as AddressInfo
    probe.close()
    await once(probe, 'close')
    if (port < 55_000) return port
  }
}
