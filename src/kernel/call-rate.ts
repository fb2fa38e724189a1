import { durationMs } from './duration.ts'

/** At most `calls` in any span of `perMs`. */
export interface CallRate {
  readonly calls: number
  readonly perMs: number
}

const shape = /^([1-9]\d{0,6})\/([1-9]\d{0,6}(?:s|m|h|d))$/

/** `80/1m`: 80 calls in any minute. @returns null for any other text, and for a span of more than 7 days */
export function readCallRate(text: string): CallRate | null {
  const [, calls, span] = shape.exec(text) ?? []
  if (calls === undefined || span === undefined) return null
  const perMs = durationMs(span)
  return perMs <= 7 * 86_400_000 ? { calls: Number(calls), perMs } : null
}

const units = [
  ['day', 'd', 86_400_000],
  ['hour', 'h', 3_600_000],
  ['minute', 'm', 60_000],
  ['second', 's', 1_000],
] as const

/** A span as keys name it: `minute`, `hour`; else `90s`. */
export function spanName(perMs: number): string {
  const [name] = units.find(([, , ms]) => ms === perMs) ?? []
  if (name) return name
  const [, letter, ms] = units.find(([, , unitMs]) => perMs % unitMs === 0) ?? ['', 'ms', 1]
  return `${perMs / ms}${letter}`
}
