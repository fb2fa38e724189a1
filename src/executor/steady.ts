import { canonicalHash } from '../kernel/canonical.ts'
import { sha256 } from '../kernel/ids.ts'

const moment = /\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?)?/g
const idLengthMin = 16

/**
 * A text without what changes each time it is asked for: times, ids, counters. Two results that become one by it bring nothing new.
 * Linear in its length, whatever it contains.
 */
export function steadyText(text: string): string {
  return text.replaceAll(moment, '<time>').replaceAll(/[\w-]+/g, (word) => {
    if (!/\d/.test(word)) return word
    return word.length >= idLengthMin || /^[0-9a-f]{7,}$/i.test(word) ? '<id>' : word.replaceAll(/\d+/g, '#')
  })
}

/** One question with one answer, but for times, ids and counters in both. */
export function steadyHash(tool: string, args: unknown, result: string): string {
  return canonicalHash([tool, sha256(steadyText(JSON.stringify(args ?? null))), sha256(steadyText(result))])
}
