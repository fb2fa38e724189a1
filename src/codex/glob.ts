/**
 * Does a path match a glob? `*` within one folder level, `**` over any number of levels, `?` one character; all else is literal and
 * case matters. A pattern without `/` looks at the last part only, so that `*.sql` finds migrations wherever they are.
 * Time grows with path × pattern, never faster: both may come from outside.
 */
export function globMatches(path: string, pattern: string): boolean {
  if (!pattern.includes('/')) return wildcardMatches(path.slice(path.lastIndexOf('/') + 1), pattern)
  return partsMatch(path.split('/'), pattern.split('/'))
}

/** The classic two-pointer walk: on a mismatch only the last star is tried again, one further. */
function partsMatch(parts: readonly string[], globs: readonly string[]): boolean {
  let part = 0
  let glob = 0
  let starGlob = -1
  let starPart = 0
  while (part < parts.length) {
    if (globs[glob] === '**') {
      starGlob = glob
      starPart = part
      glob += 1
    } else if (glob < globs.length && wildcardMatches(parts[part] ?? '', globs[glob] ?? '')) {
      part += 1
      glob += 1
    } else if (starGlob >= 0) {
      starPart += 1
      part = starPart
      glob = starGlob + 1
    } else return false
  }
  while (globs[glob] === '**') glob += 1
  return glob === globs.length
}

/** `*` any characters, `?` one, all else literal. Time grows with text × glob, never faster. */
export function wildcardMatches(text: string, glob: string): boolean {
  let at = 0
  let mark = 0
  let starMark = -1
  let starAt = 0
  while (at < text.length) {
    if (glob[mark] === '*') {
      starMark = mark
      starAt = at
      mark += 1
    } else if (mark < glob.length && (glob[mark] === '?' || glob[mark] === text[at])) {
      at += 1
      mark += 1
    } else if (starMark >= 0) {
      starAt += 1
      at = starAt
      mark = starMark + 1
    } else return false
  }
  while (glob[mark] === '*') mark += 1
  return mark === glob.length
}
