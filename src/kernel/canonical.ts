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
  if (Array.isArray(value)) {
    let items = ''
    for (let at = 0; at < value.length; at += 1) items += `${at === 0 ? '' : ','}${canonical(value[at] ?? null)}`
    return `[${items}]`
  }
  if (value instanceof Date) return canonical(value.toISOString())
  if (typeof value === 'object') {
    return canonicalObject(value)
  }
  throw new GuildError('GUILD_JSON_NOT_CANONICAL', { why: `a ${typeof value}` })
}

/** Put together by appending: a list that is joined copies its texts once at every level above them, and prompts are long. */
function canonicalObject(value: object): string {
  let members = ''
  // RFC 8785 §3.2.3: sorted by UTF-16 code units, which is how `sort` compares texts.
  for (const key of Object.keys(value).sort()) {
    const member: unknown = (value as Readonly<Record<string, unknown>>)[key] // a key of its own
    if (member === undefined) continue
    members += `${members === '' ? '' : ','}${canonical(key)}:${canonical(member)}`
  }
  return `{${members}}`
}

/** SHA-256 (hex) of the canonical text. */
export function canonicalHash(value: unknown): string {
  return sha256(canonical(value))
}
