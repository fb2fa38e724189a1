import type { DetectorClass } from '../../kernel/data-class.ts'

/** Something in a text that must not pass as it is; `start` and `end` count UTF-16 units, like `slice`. */
export interface Finding {
  readonly start: number
  readonly end: number
  readonly class: DetectorClass
  /** `github-token`, `email`; shown to people and models in its place */
  readonly kind: string
}

/**
 * One family of things to find. Pure, and linear in the length of the text whatever the text says: it comes from outside. A detector
 * that cannot be sure by shape alone uses a checksum or what stands around.
 */
export interface Detector {
  readonly class: DetectorClass
  readonly find: (text: string) => readonly Finding[]
}

/** All matches of a global pattern, or of its first group where it has one that took part. */
export function matchesOf(
  text: string,
  pattern: RegExp,
  what: Pick<Finding, 'class' | 'kind'>,
  isReal: (value: string, match: RegExpExecArray) => boolean = () => true,
): readonly Finding[] {
  const found: Finding[] = []
  for (const match of text.matchAll(pattern)) {
    const value = match[1] ?? match[0]
    if (!isReal(value, match)) continue
    // The value stands at the end of what matched, but for a delimiter that the pattern also takes in.
    const start = match.index + match[0].lastIndexOf(value)
    found.push({ start, end: start + value.length, ...what })
  }
  return found
}

/** What a sticky pattern matches at `at`, or its first group where it has one; null: nothing. */
export function matchAt(
  text: string,
  pattern: RegExp,
  at: number,
  what: Pick<Finding, 'class' | 'kind'>,
): { readonly value: string; readonly finding: Finding } | null {
  pattern.lastIndex = at
  const match = pattern.exec(text)
  if (!match) return null
  const value = match[1] ?? match[0]
  const start = at + match[0].lastIndexOf(value)
  return { value, finding: { start, end: start + value.length, ...what } }
}

/** Bits of Shannon entropy per character: words of people are near 3, random base64 above 4. At most 256 characters are looked at. */
export function entropy(text: string): number {
  const length = Math.min(text.length, 256)
  const counts = new Uint16Array(128)
  for (let at = 0; at < length; at += 1) {
    const code = text.charCodeAt(at) & 127
    counts[code] = (counts[code] ?? 0) + 1
  }
  let bits = 0
  for (const count of counts) if (count > 0) bits -= (count / length) * Math.log2(count / length)
  return bits
}
