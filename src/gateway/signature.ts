import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../kernel/secret.ts'
import type { Verdict } from './source.ts'

export interface HmacScheme {
  readonly algorithm: 'sha256'
  /** what stands before the hex digits, e.g. `sha256=` */
  readonly prefix: string
}

/**
 * Compares the header with the HMAC of the raw bytes under each secret, in time that depends on neither. All secrets are tried even
 * after a match. Fails closed: an empty key is one that anybody can sign with, so empty secrets count as absent.
 *
 * A header sent twice arrives joined with `, ` and therefore has the wrong length, which is refused like any other wrong length.
 */
export function verifyHmac(
  scheme: HmacScheme,
  header: string | undefined,
  signed: Uint8Array,
  secrets: readonly Secret[],
): Verdict {
  if (!secrets.some(isUsable)) return { kind: 'refused', code: 'GUILD_SOURCE_SECRET_MISSING' }
  if (header === undefined || header === '') return { kind: 'refused', code: 'GUILD_SIGNATURE_MISSING' }
  const given = digestOf(header, scheme)
  if (!given) return { kind: 'refused', code: 'GUILD_SIGNATURE_INVALID' }
  let keyIndex = -1
  for (const [index, secret] of secrets.entries()) {
    if (!isUsable(secret)) continue
    const expected = createHmac(scheme.algorithm, secret.reveal()).update(signed).digest()
    if (timingSafeEqual(expected, given) && keyIndex === -1) keyIndex = index
  }
  return keyIndex === -1 ? { kind: 'refused', code: 'GUILD_SIGNATURE_INVALID' } : { kind: 'verified', keyIndex }
}

function isUsable(secret: Secret): boolean {
  return secret.reveal().trim() !== ''
}

/** Upper-case hex is fine because it is decoded before it is compared. */
function digestOf(header: string, { prefix }: HmacScheme): Buffer | null {
  if (!header.startsWith(prefix)) return null
  const hex = header.slice(prefix.length)
  return /^[0-9a-f]{64}$/i.test(hex) ? Buffer.from(hex, 'hex') : null
}
