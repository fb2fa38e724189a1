import type { IncomingMessage } from 'node:http'
import { GuildError } from '../kernel/errors.ts'
import { Deadlines } from './deadlines.ts'

/** Called once: with the body, or with why there is none. */
export type OnBody = (error: GuildError | null, body?: Buffer) => void

/**
 * Reads request bodies whole, within three bounds: bytes of one body (413), time to read it (400), and bytes of all bodies being read
 * at once (503), so that many large uploads cannot fill the memory.
 */
export class BodyReader {
  readonly #readTimeoutMs: number
  readonly #inFlightBytesMax: number
  readonly #deadlines: Deadlines
  #inFlightBytes = 0

  constructor(options: { readonly readTimeoutMs: number; readonly inFlightBytesMax: number }) {
    this.#readTimeoutMs = options.readTimeoutMs
    this.#inFlightBytesMax = options.inFlightBytesMax
    this.#deadlines = new Deadlines(options.readTimeoutMs)
  }

  /** Answers with GUILD_BODY_TOO_LARGE, GUILD_OVERLOADED or GUILD_REQUEST_INVALID (too slow, or ended early) where there is no body. */
  read(stream: IncomingMessage, bytesMax: number, done: OnBody): void {
    // A text of digits or nothing: the parser has refused anything else. NaN: it comes in chunks.
    const declared = Number(stream.headers?.['content-length'])
    if (declared > bytesMax) refuseTooLarge(stream, bytesMax, done)
    else this.#readWhole(stream, { declared, bytesMax }, done)
  }

  #readWhole(
    stream: IncomingMessage,
    { declared, bytesMax }: { readonly declared: number; readonly bytesMax: number },
    done: OnBody,
  ): void {
    const chunks: Buffer[] = []
    let bytes = 0
    let settled = false
    const settle = (): void => {
      settled = true
      deadline.met()
      this.#inFlightBytes -= bytes
    }
    const whole = (): void => {
      if (settled) return
      settle()
      const [only] = chunks
      done(null, only && chunks.length === 1 ? only : Buffer.concat(chunks, bytes))
    }
    const refuse = (error: GuildError): void => {
      if (settled) return
      settle()
      stream.off('data', onData).on('error', () => stream.destroy()) // what still arrives is nobody's business
      stream.resume()
      done(error)
    }
    const onData = (chunk: Buffer): void => {
      if (settled) return
      bytes += chunk.byteLength
      this.#inFlightBytes += chunk.byteLength
      if (bytes > bytesMax) {
        settle()
        stream.off('data', onData)
        refuseTooLarge(stream, bytesMax, done)
      } else if (this.#inFlightBytes > this.#inFlightBytesMax) refuse(new GuildError('GUILD_OVERLOADED'))
      else {
        chunks.push(chunk)
        // The parser lets no more through than was declared, so nobody need wait for the stream to say that it has ended.
        if (bytes === declared) whole()
      }
    }
    const onBroken = (): void => {
      // Every stream closes at last, most of them long after they were read.
      if (!settled) refuse(new GuildError('GUILD_REQUEST_INVALID', { why: 'the body ended early' }))
    }
    const deadline = this.#deadlines.open(() => {
      const why = `the body did not arrive within ${this.#readTimeoutMs} ms`
      refuse(new GuildError('GUILD_REQUEST_INVALID', { why }))
    })
    stream.on('data', onData).on('end', whole).on('error', onBroken).on('close', onBroken)
  }
}

const lingerMs = 5_000
const lingerBytesMax = 64 * 1024 * 1024

/**
 * Lets the sender finish before it is refused, within bounds: an answer sent while bytes still arrive is followed by a reset of the
 * connection (RFC 9112 §9.6), and the sender sees a broken pipe instead of its 413. Nothing of it is kept.
 */
function refuseTooLarge(stream: IncomingMessage, bytesMax: number, done: OnBody): void {
  let bytes = 0
  let over = false
  const settle = (): void => {
    if (over) return
    over = true
    done(new GuildError('GUILD_BODY_TOO_LARGE', { bytesMax }))
  }
  const timer = setTimeout(settle, lingerMs)
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength
    if (bytes > lingerBytesMax) settle()
  })
  for (const end of ['end', 'close', 'error']) stream.once(end, settle)
  stream.once('close', () => clearTimeout(timer))
  stream.resume()
}
