/** The name that was probably meant: the one with the fewest changed letters, if few enough. */
export function nearest(name: string, names: Iterable<string>): string | null {
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1
  for (const candidate of names) {
    const distance = changes(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** `there is no chapter “paymets”; did you mean “payments”?` */
export function unknownName(what: string, name: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  const hint = meant
    ? `; did you mean “${meant}”?`
    : known.length > 0
      ? `; there are ${known.slice(0, 12).join(', ')}`
      : ''
  return `there is no ${what} “${name}”${hint}`
}

/** Levenshtein distance with neighbours swapped counted as one change (`versoin`). */
function changes(a: string, b: string): number {
  if (Math.max(a.length, b.length) > 100) return a === b ? 0 : 100
  let before: readonly number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1)
      }
      row.push(cost)
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}
