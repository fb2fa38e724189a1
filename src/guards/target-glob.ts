/**
 * Does an action's target match a grant's glob? `*` stands for any characters, `?` for one; case does not matter, because GitHub's
 * names have none. The whole target must match: `shop#*` does not cover `evil/shop#1`. Time grows with target × glob, never faster.
 */
export function targetMatches(target: string, glob: string): boolean {
  const text = target.toLowerCase()
  const pattern = glob.toLowerCase()
  let at = 0
  let mark = 0
  let starMark = -1
  let starAt = 0
  while (at < text.length) {
    if (pattern[mark] === '*') {
      starMark = mark
      starAt = at
      mark += 1
    } else if (mark < pattern.length && (pattern[mark] === '?' || pattern[mark] === text[at])) {
      at += 1
      mark += 1
    } else if (starMark >= 0) {
      starAt += 1
      at = starAt
      mark = starMark + 1
    } else return false
  }
  while (pattern[mark] === '*') mark += 1
  return mark === pattern.length
}
