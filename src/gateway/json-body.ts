import type { JsonObject, JsonValue } from '../kernel/json.ts'

export type JsonBody =
  { readonly kind: 'json'; readonly value: JsonObject } | { readonly kind: 'unreadable'; readonly reason: string }

/** No sender nests deeper than 20; without a bound, writing a body down again would overflow the stack. */
const depthMax = 100
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Raw bytes → a JSON object that every store accepts. PostgreSQL's jsonb refuses U+0000 and lone surrogates, which are valid JSON: they
 * become U+FFFD. Members called `secret` are removed wherever they stand: GitHub's alert objects can carry the leaked value itself.
 *
 * @param form the bytes are `application/x-www-form-urlencoded` with the JSON in the field `payload`
 */
export function jsonBody(raw: Uint8Array, form: boolean): JsonBody {
  let text: string
  try {
    text = utf8.decode(raw)
  } catch {
    return unreadable('the body is not UTF-8')
  }
  if (form) {
    const fields = new URLSearchParams(text).getAll('payload')
    const [only] = fields
    if (only === undefined || fields.length > 1)
      return unreadable(`the form has ${fields.length} fields called payload, not one`)
    text = only
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The parser's message quotes the text, which may hold anything.
    return unreadable('the body is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return unreadable('the body is not a JSON object')
  // Hardly a body has anything to clean: then only its depth is looked at, and it is not built again.
  const clean = mayNeedCleaning.test(text) ? cleaned(value, 0) : deeperThan(value, depthMax) ? tooDeep : value
  if (clean === tooDeep) return unreadable(`the body nests deeper than ${depthMax}`)
  return { kind: 'json', value: clean as JsonObject } // an object stays an object
}

/** U+0000, half of a surrogate pair, a member called `secret`, or letters that are written as escapes and may spell it. */
const mayNeedCleaning = /"secret"|\\u(?:0000|00[4-7]|[dD][89a-fA-F])/

/** In plain loops: it visits every member of every body. */
function deeperThan(value: object, levels: number): boolean {
  if (levels === 0) return true
  for (const key in value) {
    const member = (value as Readonly<Record<string, unknown>>)[key] // of a list as well
    if (typeof member === 'object' && member !== null && deeperThan(member, levels - 1)) return true
  }
  return false
}

const tooDeep = Symbol('too deep')

function cleaned(value: unknown, depth: number): JsonValue | typeof tooDeep {
  if (typeof value === 'string') return storable(value)
  if (typeof value !== 'object' || value === null) return value as JsonValue // JSON.parse gives nothing else
  if (depth >= depthMax) return tooDeep
  if (Array.isArray(value)) {
    const items: JsonValue[] = []
    for (const item of value) {
      const clean = cleaned(item, depth + 1)
      if (clean === tooDeep) return tooDeep
      items.push(clean)
    }
    return items
  }
  const members: [string, JsonValue][] = []
  for (const [key, member] of Object.entries(value)) {
    if (key === 'secret') continue
    const clean = cleaned(member, depth + 1)
    if (clean === tooDeep) return tooDeep
    members.push([storable(key), clean])
  }
  // fromEntries defines own members, so a key called __proto__ stays data.
  return Object.fromEntries(members)
}

function storable(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', '\uFFFD')
}

function unreadable(reason: string): JsonBody {
  return { kind: 'unreadable', reason }
}
