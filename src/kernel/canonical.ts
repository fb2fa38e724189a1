import { GuildError } from './errors.ts'
import { sha256 } from './ids.ts'

/**
 * RFC 8785 (JSON Canonicalization Scheme): the one text of a JSON value. Audit hashes, approval hashes and request hashes
 * stand on it. Undefined members are left out, as JSON.stringify does; NaN, infinities and lone surrogates are refused.
 */
export function canonical(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new GuildError('GUILD_JSON_NOT_CANONICAL', { why: `the number ${value}` })
    return JSON.stringify(value)
  }
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new GuildError('GUILD_JSON_NOT_CANONICAL', { why: 'a lone surrogate' })
    return JSON.stringify(value)
  }
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item ?? null)).join(',')}]`
  if (value instanceof Date) return canonical(value.toISOString())
  if (typeof value === 'object') {
    const members = Object.entries(value).filter(([, member]) => member !== undefined)
    // RFC 8785 §3.2.3: sorted by UTF-16 code units, which is what the < operator compares.
    members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    return `{${members.map(([key, member]) => `${canonical(key)}:${canonical(member)}`).join(',')}}`
  }
  throw new GuildError('GUILD_JSON_NOT_CANONICAL', { why: `a ${typeof value}` })
}

/** SHA-256 (hex) of the canonical text. */
export function canonicalHash(value: unknown): string {
  return sha256(canonical(value))
}
