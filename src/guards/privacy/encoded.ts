import type { Finding } from './finding.ts'

const runMin = 24
/** Depth of an encoding inside an encoding that is looked into. */
const depthMax = 2
const textMin = 12

/** Is this character of base64, plain or for URLs? Hexadecimal digits are among them. */
const inRun = new Uint8Array(128)
/** What each of them stands for. */
const sextets = new Uint8Array(128)
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
for (const [value, character] of alphabet.split('').entries()) {
  inRun[character.charCodeAt(0)] = 1
  sextets[character.charCodeAt(0)] = value
}
for (const character of '-_') inRun[character.charCodeAt(0)] = 1

/**
 * Secrets that were encoded to get past: stretches of base64 or hexadecimal whose bytes are text in which `find` finds something. The
 * whole stretch is the finding. Stretches are looked at once each, so the time is linear.
 */
export function encodedSecrets(
  text: string,
  find: (decoded: string) => readonly Finding[],
  depth = 1,
): readonly Finding[] {
  const found: Finding[] = []
  for (let at = 0; at + runMin <= text.length;) {
    // A stretch that is long enough holds all of the next 24; else none begins before the last that breaks it.
    const outside = lastOutside(text, at)
    if (outside >= at) {
      at = outside + 1
      continue
    }
    const start = at
    at = runEnd(text, start)
    for (const decoded of decodings(text.slice(start, at).replaceAll(/\s/g, ''))) {
      const inside = find(decoded)
      const deeper = inside.length === 0 && depth < depthMax ? encodedSecrets(decoded, find, depth + 1) : inside
      const [first] = deeper
      if (!first) continue
      found.push({ start, end: at, class: 'secrets', kind: first.kind })
      break
    }
  }
  return found
}

/** The last of the next 24 characters that is outside a stretch; `from - 1`: none. */
function lastOutside(text: string, from: number): number {
  let at = from + runMin - 1
  while (at >= from && isInRun(text, at)) at -= 1
  return at
}

function isInRun(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code < 128 && inRun[code] === 1
}

/** The end of the run; a line break after at least 40 characters is how base64 is wrapped. */
function runEnd(text: string, from: number): number {
  let at = from
  let line = from
  for (; at < text.length; at += 1) {
    if (isInRun(text, at)) continue
    const broken = text[at] === '\r' ? 2 : 1
    const wraps = at - line >= 40 && text[at + broken - 1] === '\n' && isInRun(text, at + broken)
    if (!wraps) break
    at += broken
    line = at
  }
  while (text[at] === '=' && at - from < text.length) at += 1
  return at
}

/** What a stretch may say. Its beginning may be glued to a word, so base64 is read at each of the four offsets. */
function decodings(run: string): readonly string[] {
  const out: string[] = []
  // Words of paths and identifiers: text in base64 has letters of both cases.
  if (!/[0-9A-Z]/.test(run)) return out
  if (/^[0-9a-fA-F]+$/.test(run)) {
    const text = asText(Buffer.from(run.slice(0, run.length & ~1), 'hex'))
    return text === null ? [] : [text]
  }
  const padding = run.indexOf('=')
  const plain = (padding < 0 ? run : run.slice(0, padding)).replaceAll('-', '+').replaceAll('_', '/')
  for (let offset = 0; offset < 4; offset += 1) {
    // A look at the beginning is enough to leave out almost all: keys and hashes are no text.
    if (!beginsAsText(plain, offset)) continue
    const text = asText(Buffer.from(plain.slice(offset), 'base64'))
    if (text !== null) out.push(text)
  }
  return out
}

/** As `asText` of what the first 32 characters from `offset` stand for, without making bytes of them: hardly any run passes the third. */
function beginsAsText(plain: string, offset: number): boolean {
  const length = Math.min(32, plain.length - offset)
  const bytes = (length * 6) >> 3
  if (bytes < textMin) return false
  let odd = 0
  let bits = 0
  let held = 0
  for (let at = offset; at < offset + length; at += 1) {
    held = ((held << 6) | (sextets[plain.charCodeAt(at)] ?? 0)) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    if (!isText((held >> bits) & 0xff) && (odd += 1) * 8 > bytes) return false
  }
  return true
}

function isText(byte: number): boolean {
  return (byte >= 0x20 && byte <= 0x7e) || byte === 9 || byte === 10 || byte === 13
}

/** null: mostly bytes that are no text. */
function asText(bytes: Buffer): string | null {
  if (bytes.length < textMin) return null
  let odd = 0
  for (const byte of bytes) if (!isText(byte)) odd += 1
  return odd * 8 > bytes.length ? null : bytes.toString('latin1')
}
