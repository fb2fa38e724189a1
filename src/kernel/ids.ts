import { hash, randomFillSync } from 'node:crypto'

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford base32, lower case
const bodyLength = 26
/** Asking the system for a few bytes costs as much as asking for many. */
const random = Buffer.alloc(11 * 256)
let taken = random.length

/** Prefixes say what an id names; the body is 26 characters of Crockford base32. */
export type IdPrefix = 'evt' | 'inv' | 'act' | 'ntf' | 'rcv' | 'apr' | 'aud' | 'res' | 'key' | 'dec' | 'msg' | 'gra'

/**
 * An id that two processes compute alike from the same parts, which is what makes a redelivery a no-op.
 * Parts are length-prefixed, so that ('ab','c') and ('a','bc') differ.
 */
export function hashId(prefix: IdPrefix, ...parts: readonly (string | number)[]): string {
  let told = ''
  for (const part of parts) {
    const text = String(part)
    told += `${Buffer.byteLength(text)}:${text};`
  }
  return `${prefix}_${encode(hash('sha256', told, 'buffer'))}`
}

/** A new id that sorts by time (ULID layout: 48 bits of milliseconds, 80 random bits). */
export function timeId(prefix: IdPrefix, nowMs: number): string {
  const bytes = Buffer.alloc(17)
  bytes.writeUIntBE(nowMs, 0, 6)
  if (taken + 11 > random.length) {
    randomFillSync(random)
    taken = 0
  }
  random.copy(bytes, 6, taken, taken + 11)
  taken += 11
  return `${prefix}_${encode(bytes)}`
}

/** W3C trace id (32 hex digits) of everything an event causes; the same for a redelivery. https://www.w3.org/TR/trace-context/ */
export function traceId(eventId: string): string {
  return hash('sha256', `trace:${eventId}`, 'hex').slice(0, 32)
}

export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data, 'hex')
}

function encode(bytes: Uint8Array): string {
  let out = ''
  let buffer = 0
  let bits = 0
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte
    bits += 8
    while (bits >= 5 && out.length < bodyLength) {
      bits -= 5
      out += alphabet[(buffer >> bits) & 31]
    }
    buffer &= (1 << bits) - 1
    if (out.length === bodyLength) break
  }
  return out
}
