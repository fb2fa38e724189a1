import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { keep } from './process.ts'
import { must } from './wait.ts'

const startMs = 30_000

/** A Redis of its own that writes its log every second, as most do. It is killed here, with and without what it wrote. */
export class RedisServer implements AsyncDisposable {
  readonly port: number
  readonly #folder: string
  #child: ChildProcess | null = null

  /** @throws when this machine has no Redis */
  static async open(parent: string): Promise<RedisServer> {
    if (spawnSync('redis-server', ['--version']).status !== 0) throw new Error('there is no redis-server on the PATH')
    const server = new RedisServer(join(parent, 'redis'), await freePort())
    await server.start()
    return server
  }

  private constructor(folder: string, port: number) {
    this.#folder = folder
    this.port = port
  }

  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    const settings = {
      port: this.port,
      bind: '127.0.0.1',
      dir: this.#folder,
      appendonly: 'yes',
      appendfsync: 'everysec',
    }
    const args = Object.entries({ ...settings, save: '', daemonize: 'no' }).flatMap(([name, value]) => [
      `--${name}`,
      String(value),
    ])
    this.#child = keep(spawn('redis-server', args, { stdio: 'ignore' }))
    await must(() => this.#answers(), startMs, 'Redis answers')
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }

  /** What it wrote is gone, as after the loss of its disk. Only while it is down. */
  async forget(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  /** It says LOADING until its log is read. */
  async #answers(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1')
    socket.setTimeout(1_000, () => socket.destroy())
    try {
      await once(socket, 'connect')
      socket.write('PING\r\n')
      const [answer] = (await once(socket, 'data')) as [Buffer] // no encoding is set
      return answer.toString().startsWith('+PONG')
    } catch {
      return false // not yet
    } finally {
      socket.destroy()
    }
  }
}
