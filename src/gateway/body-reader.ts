import type { IncomingMessage } from 'node:http'
import { GuildError } from '../kernel/errors.ts'

/**
 * Reads request bodies whole, within three bounds: bytes of one body (413), time to read it (400), and bytes of all bodies being read
 * at once (503), so that many large uploads cannot fill the memory.
 */
export class BodyReader {
  readonly #readTimeoutMs: number
  readonly #inFlightBytesMax: number
  #inFlightBytes = 0

  constructor(options: { readonly readTimeoutMs: number; readonly inFlightBytesMax: number }) {
    this.#readTimeoutMs = options.readTimeoutMs
    this.#inFlightBytesMax = options.inFlightBytesMax
  }

  /** @throws GUILD_BODY_TOO_LARGE, GUILD_OVERLOADED, GUILD_REQUEST_INVALID (too slow, or ended early) */
  read(stream: IncomingMessage, bytesMax: number): Promise<Buffer> {
    const declared = Number(stream.headers?.['content-length'] ?? 0)
    return declared > bytesMax ? tooLarge(stream, bytesMax) : this.#readWhole(stream, bytesMax)
  }

  #readWhole(stream: IncomingMessage, bytesMax: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      let bytes = 0
      const settle = (error: GuildError | null): void => {
        clearTimeout(timer)
        stream.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken)
        this.#inFlightBytes -= bytes
        if (!error) return resolve(Buffer.concat(chunks, bytes))
        stream.on('error', () => stream.destroy()) // what still arrives is nobody's business
        stream.resume()
        reject(error)
      }
      const onData = (chunk: Buffer): void => {
        bytes += chunk.byteLength
        this.#inFlightBytes += chunk.byteLength
        if (bytes > bytesMax) {
          resolve(tooLarge(stream, bytesMax))
          return settle(new GuildError('GUILD_BODY_TOO_LARGE', { bytesMax }))
        }
        if (this.#inFlightBytes > this.#inFlightBytesMax) return settle(new GuildError('GUILD_OVERLOADED'))
        chunks.push(chunk)
      }
      const onEnd = (): void => settle(null)
      const onBroken = (): void => settle(new GuildError('GUILD_REQUEST_INVALID', { why: 'the body ended early' }))
      const onTimeout = (): void =>
        settle(
          new GuildError('GUILD_REQUEST_INVALID', { why: `the body did not arrive within ${this.#readTimeoutMs} ms` }),
        )
      const timer = setTimeout(onTimeout, this.#readTimeoutMs)
      stream.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken)
    })
  }
}

const lingerMs = 5_000
const lingerBytesMax = 64 * 1024 * 1024

/**
 * Lets the sender finish before it is refused, within bounds: an answer sent while bytes still arrive is followed by a reset of the
 * connection (RFC 9112 §9.6), and the sender sees a broken pipe instead of its 413. Nothing of it is kept.
 */
async function tooLarge(stream: IncomingMessage, bytesMax: number): Promise<never> {
  await new Promise<void>((resolve) => {
    let bytes = 0
    const timer = setTimeout(resolve, lingerMs)
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
      if (bytes > lingerBytesMax) resolve()
    })
    for (const over of ['end', 'close', 'error']) stream.once(over, () => resolve())
    stream.once('close', () => clearTimeout(timer))
    stream.resume()
  })
  throw new GuildError('GUILD_BODY_TOO_LARGE', { bytesMax })
}
