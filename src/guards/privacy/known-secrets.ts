import { type Detector, entropy, type Finding } from './finding.ts'

const partLength = 10
/** Below this a value is a word: looking for parts of it would find words. */
const entropyMin = 3

/**
 * The secrets of this process itself. They need no shape, and parts of them count too: an attacker who asks for a key without its
 * first characters evades every shape. A piece of at least 19 characters holds one aligned part of ten, which is what is looked for.
 */
export function knownSecrets(values: readonly string[]): Detector {
  const wholes = [...new Set(values)].filter((value) => value.length >= 8)
  const parts = new Set(wholes.filter((value) => value.length >= 2 * partLength).flatMap(partsOf))
  return {
    class: 'secrets',
    find(text) {
      const found: Finding[] = []
      for (const needle of [...wholes, ...parts]) {
        for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length)) {
          found.push({ start: at, end: at + needle.length, class: 'secrets', kind: 'own-secret' })
        }
      }
      return found.map((finding) => grown(text, finding))
    },
  }
}

function partsOf(value: string): readonly string[] {
  const parts: string[] = []
  for (let at = 0; at + partLength <= value.length; at += partLength) {
    const part = value.slice(at, at + partLength)
    if (entropy(part) >= entropyMin && /\d/.test(part)) parts.push(part)
  }
  return parts
}

/** A part was found: what is around it, up to a blank, is the rest. */
function grown(text: string, finding: Finding): Finding {
  let { start, end } = finding
  while (start > 0 && finding.start - start < 64 && /[\w+/=-]/.test(text[start - 1] ?? '')) start -= 1
  while (end < text.length && end - finding.end < 64 && /[\w+/=-]/.test(text[end] ?? '')) end += 1
  return { ...finding, start, end }
}
