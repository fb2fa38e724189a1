import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { hashId, timeId } from './ids.ts'

/** The first 130 bits in Crockford base32, by the book. */
function encoded(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const digits = Array.from({ length: 26 }, (_, at) => Number.parseInt(bits.slice(at * 5, at * 5 + 5), 2))
  return digits.map((digit) => '0123456789abcdefghjkmnpqrstvwxyz'.charAt(digit)).join('')
}

describe('hashId', () => {
  it('is the same in every version: a redelivery after an upgrade is no new event', () => {
    expect(hashId('evt', 'github', '72d3162e-cc78-11e3-81ab-4c9367dc0958', 0)).toBe('evt_gm55pfxqsxywt088hyspbm75k4')
  })

  it('is the hash of its parts, each with its length', () => {
    for (let serial = 0; serial < 200; serial += 1) {
      const digest = createHash('sha256')
        .update(`2:ü;${String(serial).length}:${serial};`)
        .digest()
      expect(hashId('act', 'ü', serial)).toBe(`act_${encoded(digest)}`)
    }
    expect(hashId('evt', 'ab', 'c')).not.toBe(hashId('evt', 'a', 'bc'))
  })
})

describe('timeId', () => {
  it('sorts by time and never comes twice', () => {
    const ids = Array.from({ length: 1_000 }, (_, at) => timeId('rcv', 1_700_000_000_000 + (at >> 2)))
    expect(new Set(ids).size).toBe(1_000)
    const instants = ids.map((id) => id.slice(0, 13))
    expect(instants).toEqual(instants.toSorted())
    for (const id of ids) expect(id).toMatch(/^rcv_[0-9a-hjkmnp-tv-z]{26}$/)
  })
})
