import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../test/postgres-server.ts'

const startMs = 10_000

export type AppendFsync = 'everysec' | 'always'

/** A private Redis with its append-only file on, in a temporary folder and on a free port; it ends with this process. */
export class RedisServer implements AsyncDisposable {
  readonly port: number
  readonly settings: string
  readonly #stop: () => Promise<void>

  /** @returns null without a redis-server on the PATH */
  static async start(appendfsync: AppendFsync): Promise<RedisServer | null> {
    if (spawnSync('redis-server', ['--version']).status !== 0) return null
    const folder = await mkdtemp(join(tmpdir(), 'guild-redis-'))
    const port = await freePort()
    const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '']
    const durable = ['--appendonly', 'yes', '--appendfsync', appendfsync]
    // The pipe is the leash: when this process ends, however it ends, `cat` ends and the server is told to stop.
    const leash = 'redis-server "$@" & server=$!; cat >/dev/null; kill -TERM $server; wait $server'
    const child = spawn('sh', ['-c', leash, 'redis', ...options, ...durable], {
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    const server = new RedisServer(port, `appendonly yes, appendfsync ${appendfsync}`, async () => {
      const exit = once(child, 'exit')
      child.stdin.end()
      await exit
      await rm(folder, { recursive: true, force: true })
    })
    await server.#ready()
    return server
  }

  private constructor(port: number, settings: string, stop: () => Promise<void>) {
    this.port = port
    this.settings = settings
    this.#stop = stop
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Empties it: databases of a Redis share its memory and its file. */
  async flush(): Promise<void> {
    const socket = connect(this.port, '127.0.0.1')
    socket.write('FLUSHALL\r\n')
    await once(socket, 'data')
    socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop()
  }

  async #ready(): Promise<void> {
    for (const until = Date.now() + startMs; ; await delay(20)) {
      const socket = connect(this.port, '127.0.0.1')
      try {
        await once(socket, 'connect')
        return
      } catch (error) {
        if (Date.now() > until) throw error
      } finally {
        socket.destroy()
      }
    }
  }
}
