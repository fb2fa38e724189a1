/**
 * Text as somebody reads it who wants the secret in it: without HTML comments and tags, invisible characters and the quotes of glued
 * strings, with escapes and full-width letters resolved. Each stretch knows where it came from.
 */
export interface Unfolded {
  readonly text: string
  /** Place of a finding in the text as it was. */
  place(start: number, end: number): { readonly start: number; readonly end: number }
}

/**
 * Characters that people do not see, or that stand for others: joiners, fillers, selectors of variants, controls of direction, full-width
 * letters, and the first half of tag characters.
 */
const odd = [
  [0xad],
  [0x34f],
  [0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x202a, 0x202e],
  [0x2060, 0x206f],
  [0x3164],
  [0xfe00, 0xfe0f],
  [0xfeff],
  [0xff01, 0xff5e],
  [0xffa0],
  [0xdb40],
] as const
/** 1: part of some token. A table, because a pattern with as many ranges takes ten times as long, and all text is looked at here. */
const inToken = new Uint8Array(0x10000)
for (const [first, last = first] of odd) inToken.fill(1, first, last + 1)
for (const character of '<>+%&\\') inToken[character.charCodeAt(0)] = 1

const openedComment = /<!--(?:\s{0,8}-->)?/y
const tokens: Readonly<Record<string, RegExp>> = {
  '<': /<!--|<\/?[a-z][a-z0-9]{0,9}(?: ?\/)?>/iy,
  '%': /%[0-9a-f]{2}/iy,
  '&': /&#(?:\d{1,6}|x[0-9a-f]{1,5});|&amp;/iy,
  '\\': /\\u00[0-9a-f]{2}|\\x[0-9a-f]{2}/iy,
}
/** The end of one string and the beginning of the next, around the plus that glues them. */
const closes = /["'`] {0,2}$/
const opens = /\+ {0,2}["'`]/y
/** Two units for one invisible character: tags and selectors of variants (U+E0000 to U+E03FF). */
const tag = /\uDB40[\uDC00-\uDFFF]/y

/** The token that has this character, and where it begins, not before `done`; empty: there is none. */
function tokenAround(text: string, at: number, done: number): { readonly from: number; readonly token: string } {
  const character = text[at]
  if (character === '>') {
    const from = at - 2
    return { from, token: from >= done && text.startsWith('-->', from) ? '-->' : '' }
  }
  if (character !== '+') return { from: at, token: tokenAt(text, at) }
  opens.lastIndex = at
  const after = opens.exec(text)?.[0]
  const before = after === undefined ? undefined : closes.exec(text.slice(Math.max(done, at - 3), at))?.[0]
  if (after === undefined || before === undefined) return { from: at, token: '' }
  return { from: at - before.length, token: before + after }
}

/** The token that begins at `at`; empty: none does. */
function tokenAt(text: string, at: number): string {
  const character = text[at] ?? ''
  const code = character.charCodeAt(0)
  if (code > 0x7f && code !== 0xdb40) return character
  const pattern = code === 0xdb40 ? tag : tokens[character]
  if (!pattern || !couldFollow(character, text.charCodeAt(at + 1))) return ''
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ''
}

/** A glance at the next character spares most patterns: angle brackets are everywhere in code. */
function couldFollow(character: string, next: number): boolean {
  switch (character) {
    case '<':
      return next === 0x21 || next === 0x2f || (next | 0x20) >= 0x61
    case '\\':
      return next === 0x75 || next === 0x78
    default:
      return true
  }
}

interface Segment {
  /** where it begins in the unfolded text, and in the original */
  readonly at: number
  readonly from: number
  /** how much of the original it stands for; a resolved escape is one character for several */
  readonly taken: number
  readonly length: number
}

/**
 * `dropped`: a comment goes with what it says, as a page shows it, which joins what it had cut in two. `opened`: only its marks go, for
 * a secret that is inside and cut in two there.
 * @returns null: there is nothing to unfold
 */
export function unfold(text: string, comments: 'dropped' | 'opened' = 'dropped'): Unfolded | null {
  const parts: string[] = []
  const segments: Segment[] = []
  let length = 0
  let done = 0
  const keep = (part: string, from: number, taken: number): void => {
    if (part === '') return
    parts.push(part)
    segments.push({ at: length, from, taken, length: part.length })
    length += part.length
  }
  let commentEnd = 0 // found once and kept: many beginnings of a comment that never ends cost one search
  for (let at = 0; at < text.length; at += 1) {
    if (inToken[text.charCodeAt(at)] !== 1) continue
    const { from, token } = tokenAround(text, at, done)
    if (token === '') continue
    let end = from + token.length
    if (comments === 'opened' && token === '<!--') {
      openedComment.lastIndex = from
      end = from + (openedComment.exec(text)?.[0].length ?? token.length)
    } else if (comments === 'dropped' && token === '-->') continue
    else if (token === '<!--') {
      if (commentEnd >= 0 && commentEnd < end) commentEnd = text.indexOf('-->', end)
      if (commentEnd < 0) continue
      end = commentEnd + 3
    }
    keep(text.slice(done, from), done, from - done)
    keep(resolved(token), from, end - from)
    done = end
    at = Math.max(at, end - 1)
  }
  if (segments.length === 0 && done === 0) return null
  keep(text.slice(done), done, text.length - done)
  return { text: parts.join(''), place: (start, end) => placeOf(segments, start, end) }
}

function resolved(token: string): string {
  const code = codeOf(token)
  return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : ''
}

/** -1: it stands for nothing. */
function codeOf(token: string): number {
  const [first = '', second = ''] = token
  if (first === '%') return Number.parseInt(token.slice(1), 16)
  if (token === '&amp;') return 0x26
  if (first === '&') return /^&#x/i.test(token) ? Number.parseInt(token.slice(3), 16) : Number(token.slice(2, -1))
  if (first === '\\') return Number.parseInt(token.slice(second === 'u' ? 4 : 2), 16)
  const code = token.charCodeAt(0)
  return code >= 0xff01 && code <= 0xff5e ? code - 0xfee0 : -1
}

function placeOf(segments: readonly Segment[], start: number, end: number): { start: number; end: number } {
  const first = segmentAt(segments, start)
  const last = segmentAt(segments, end - 1)
  if (!first || !last) return { start: 0, end: 0 }
  const plain = last.taken === last.length
  return {
    start: first.taken === first.length ? first.from + (start - first.at) : first.from,
    end: plain ? last.from + (end - last.at) : last.from + last.taken,
  }
}

function segmentAt(segments: readonly Segment[], at: number): Segment | undefined {
  let low = 0
  let high = segments.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((segments[middle]?.at ?? 0) <= at) low = middle
    else high = middle - 1
  }
  return segments[low]
}
