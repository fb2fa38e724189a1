import { hash, randomFillSync } from 'node:crypto'

/** Crockford base32, lower case */
const alphabet = Buffer.from('0123456789abcdefghjkmnpqrstvwxyz')
const bodyLength = 26
// An id is made in one go, so that one of each of these is enough.
const digest = Buffer.alloc(32)
const timed = Buffer.alloc(17)
const told = Buffer.alloc(bodyLength)
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
  let named = ''
  for (const part of parts) {
    const text = String(part)
    named += `${Buffer.byteLength(text)}:${text};`
  }
  // As text: a buffer for each digest would cost more than the digest.
  digest.write(hash('sha256', named, 'binary'), 'latin1')
  return `${prefix}_${encode(digest)}`
}

/** A new id that sorts by time (ULID layout: 48 bits of milliseconds, 80 random bits). */
export function timeId(prefix: IdPrefix, nowMs: number): string {
  timed.writeUIntBE(nowMs, 0, 6)
  if (taken + 11 > random.length) {
    randomFillSync(random)
    taken = 0
  }
  random.copy(timed, 6, taken, taken + 11)
  taken += 11
  return `${prefix}_${encode(timed)}`
}

/** W3C trace id (32 hex digits) of everything an event causes; the same for a redelivery. https://www.w3.org/TR/trace-context/ */
export function traceId(eventId: string): string {
  return hash('sha256', `trace:${eventId}`, 'hex').slice(0, 32)
}

export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data, 'hex')
}

/** The first 130 bits. */
function encode(bytes: Uint8Array): string {
  let buffer = 0
  let bits = 0
  let at = 0
  for (let length = 0; length < bodyLength; length += 1) {
    if (bits < 5) {
      buffer = ((buffer & 31) << 8) | (bytes[at] ?? 0)
      at += 1
      bits += 8
    }
    bits -= 5
    told[length] = alphabet[(buffer >> bits) & 31] ?? 0
  }
  return told.toString('latin1')
}
