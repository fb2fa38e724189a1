import type { DetectorClass } from '../../kernel/data-class.ts'
import { sha256 } from '../../kernel/ids.ts'
import type { JsonValue } from '../../kernel/json.ts'
import { isCredential, isSecretName } from './credentials.ts'
import { type PrivacyEngine, privacyEngine, proveEngine, scanText } from './engine.ts'
import type { Finding } from './finding.ts'

/** What stands where a record could not be looked at: better a gap than a leak. */
export const withheldStub = '[withheld: the privacy guard failed]'

const onlySecrets: ReadonlySet<DetectorClass> = new Set(['secrets'])
/** A long text passes several times: when it is read, stored, sent and told. To hash it takes a fraction of looking at it. */
const longText = 256
const latelyMax = 1_000
/** Deeper values are text of an attacker, not data. */
const depthMax = 100

export interface Cleaned<T> {
  readonly value: T
  /** kinds of what was taken out, in order, each once */
  readonly removed: readonly string[]
}

/**
 * Takes secrets out of what is stored, sent or logged. They are gone for good: `[secret: github-token]` stands in their place, and
 * nothing knows what it was. Values without any come back as the same object.
 */
export class Redactor {
  readonly engine: PrivacyEngine
  #proven = false
  /** what was found in texts looked at lately, by their hash: no text is kept for it */
  readonly #lately = new Map<string, readonly Finding[]>()

  constructor(engine: PrivacyEngine = privacyEngine()) {
    this.engine = engine
  }

  /** @throws GUILD_PRIVACY_FAILED: then nothing may pass */
  find(text: string, classes: ReadonlySet<DetectorClass>): readonly Finding[] {
    if (!this.#proven) proveEngine(this.engine)
    this.#proven = true
    if (text.length < longText) return scanText(this.engine, text, classes)
    const key = `${[...classes].join(' ')} ${sha256(text)}`
    const known = this.#lately.get(key)
    if (known) return known
    const found = scanText(this.engine, text, classes)
    const [oldest] = this.#lately.keys()
    if (oldest !== undefined && this.#lately.size >= latelyMax) this.#lately.delete(oldest)
    this.#lately.set(key, found)
    return found
  }

  /** @throws GUILD_PRIVACY_FAILED */
  text(text: string): Cleaned<string> {
    const found = this.find(text, onlySecrets)
    if (found.length === 0) return { value: text, removed: [] }
    return { value: replaced(text, found, secretMark), removed: kindsOf(found) }
  }

  /**
   * Every string of a JSON value, and what stands under the name of a secret (`{"password": …}`). One look at all of it together tells
   * whether any string need be looked at alone.
   * @throws GUILD_PRIVACY_FAILED
   */
  json<T extends JsonValue | undefined>(value: T): Cleaned<T> {
    if (this.#clean(value)) return { value, removed: [] }
    const removed = new Set<string>()
    const clean = mapStrings(value, (text, name) => {
      if (name !== null && isSecretName(name) && isCredential(name, text)) {
        removed.add('credential')
        return secretMark({ kind: 'credential' })
      }
      const cleaned = this.text(text)
      for (const kind of cleaned.removed) removed.add(kind)
      return cleaned.value
    })
    return { value: clean as T, removed: [...removed] } // strings took the place of strings, nothing else changed
  }

  /** For records, which must be written: where the guard fails they say so instead of what they would have said. Never throws. */
  storedText(text: string): string {
    try {
      return this.text(text).value
    } catch {
      return withheldStub // that it failed is all that may be said
    }
  }

  /** Whether `stored` and `storedText` would leave all of it as it is. Never throws: what cannot be looked at is not clean. */
  isClean(value: JsonValue): boolean {
    try {
      return this.#clean(value)
    } catch {
      return false // whoever then looks at each part writes that it failed
    }
  }

  /** Names and texts come again and again; each is looked at once. */
  #clean(value: JsonValue | undefined): boolean {
    const look: Look = { texts: new Set(), seen: new Set() }
    const named = collect(value, look, 0)
    // Not by a line break alone: base64 may be wrapped, and two texts would be read as one.
    return !named && this.find([...look.texts].join(' \n'), onlySecrets).length === 0
  }

  /** Never throws; see `storedText`. */
  stored<T extends JsonValue | undefined>(value: T, stub: T): T {
    try {
      return this.json(value).value
    } catch {
      return stub // that it failed is all that may be said
    }
  }
}

/** For records that are built far from any composition: shapes and names, but not the secrets of this very process. */
export const standardRedactor = new Redactor()

export function replaced(
  text: string,
  found: readonly Finding[],
  mark: (finding: Finding, value: string) => string,
): string {
  let out = ''
  let done = 0
  for (const finding of found) {
    out += text.slice(done, finding.start) + mark(finding, text.slice(finding.start, finding.end))
    done = finding.end
  }
  return out + text.slice(done)
}

export function secretMark({ kind }: Pick<Finding, 'kind'>): string {
  return `[secret: ${kind}]`
}

/** The value with every string, and every name of a member, passed through `change`; `name` is that of the member it stands in. */
export function mapStrings(
  value: JsonValue | undefined,
  change: (text: string, name: string | null) => string,
  name: string | null = null,
  depth = 0,
): JsonValue | undefined {
  if (typeof value === 'string') return change(value, name)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= depthMax) return '[too deep]'
  if (isArray(value)) return value.map((item) => mapStrings(item, change, name, depth + 1) ?? null)
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [change(key, null), mapStrings(member, change, key, depth + 1)]),
  )
}

interface Look {
  readonly texts: Set<string>
  /** A value that many records share is walked once. */
  readonly seen: Set<object>
}

/** All strings and names. @returns whether some member has the name of a secret and a text */
function collect(value: JsonValue | undefined, look: Look, depth: number): boolean {
  if (typeof value === 'string') {
    look.texts.add(value)
    return false
  }
  if (typeof value !== 'object' || value === null) return false
  if (depth >= depthMax) return true
  if (look.seen.has(value)) return false
  look.seen.add(value)
  let named = false
  if (isArray(value)) {
    for (const item of value) if (collect(item, look, depth + 1)) named = true
    return named
  }
  for (const key of Object.keys(value)) {
    const member = value[key]
    look.texts.add(key)
    if (isSecretName(key) && member !== null && typeof member !== 'number' && typeof member !== 'boolean') named = true
    if (collect(member, look, depth + 1)) named = true
  }
  return named
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function kindsOf(found: readonly Finding[]): readonly string[] {
  return [...new Set(found.map(({ kind }) => kind))]
}
