import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type Weather =
  | { readonly kind: 'clear' }
  /** each chunk waits, and no more than so many bytes pass in a second */
  | { readonly kind: 'slow'; readonly latencyMs: number; readonly bytesPerSecond: number }
  /** what the client says arrives; the answer does not, and the connection breaks in its place */
  | { readonly kind: 'mute' }
  /** nobody is there */
  | { readonly kind: 'closed' }

interface Line {
  readonly client: Socket
  readonly server: Socket
}

/** A TCP proxy on loopback that can be slow, cut its connections, or lose answers. */
export class Proxy implements AsyncDisposable {
  weather: Weather = { kind: 'clear' }
  readonly #portOf: () => number
  readonly #lines = new Set<Line>()
  readonly #server = createServer({ pauseOnConnect: true }, (client) => this.#open(client))

  /** @param portOf asked for each connection: what stands behind may come back elsewhere */
  static async open(portOf: () => number): Promise<Proxy> {
    const proxy = new Proxy(portOf)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  private constructor(portOf: () => number) {
    this.#portOf = portOf
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port // it listens on TCP
  }

  /** Breaks what is connected now, with a reset. @returns how many */
  cut(): number {
    const count = this.#lines.size
    for (const { client, server } of this.#lines) {
      client.resetAndDestroy()
      server.resetAndDestroy()
    }
    return count
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    this.#server.close()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  #open(client: Socket): void {
    client.on('error', () => undefined) // whoever reads it is told by `close`
    if (this.weather.kind === 'closed') return void client.resetAndDestroy()
    const server = connect(this.#portOf(), '127.0.0.1')
    const line = { client, server }
    this.#lines.add(line)
    client.setNoDelay(true)
    server.setNoDelay(true)
    server.on('error', () => client.resetAndDestroy())
    const gone = () => {
      this.#lines.delete(line)
      client.destroy()
      server.destroy()
    }
    client.on('close', gone)
    server.on('close', gone)
    server.once('connect', () => {
      this.#carry(client, server, false)
      this.#carry(server, client, true)
    })
  }

  #carry(from: Socket, to: Socket, answers: boolean): void {
    from.on('data', (chunk: Buffer) => {
      const { weather } = this
      if (weather.kind === 'mute' && answers) return void to.resetAndDestroy()
      if (weather.kind === 'slow') return void this.#crawl(from, to, chunk, weather)
      if (!to.write(chunk)) {
        from.pause()
        to.once('drain', () => from.resume())
      }
    })
    from.on('end', () => to.end())
    from.resume()
  }

  async #crawl(from: Socket, to: Socket, chunk: Buffer, weather: Extract<Weather, { kind: 'slow' }>): Promise<void> {
    from.pause()
    await delay(weather.latencyMs + (chunk.byteLength / weather.bytesPerSecond) * 1_000)
    if (!to.destroyed) to.write(chunk)
    from.resume()
  }
}
