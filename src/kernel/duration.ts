const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a Codex duration (`500ms`, `15s`, `5m`, `24h`, `30d`). @throws TypeError on any other text: the schema let none through */
export function durationMs(text: string): number {
  const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text)
  const unit = units[match?.[2] ?? '']
  if (!match || unit === undefined) throw new TypeError(`${JSON.stringify(text)} is not a duration such as 15s`)
  return Number(match[1]) * unit
}
