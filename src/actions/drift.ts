import { canonicalHash } from '../kernel/canonical.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Comparison } from './target.ts'

export type Compared =
  /** null: there was nothing to compare */
  | { readonly kind: 'same'; readonly comparison: Comparison | null }
  | { readonly kind: 'drifted'; readonly reason: string; readonly comparison: Comparison }
  | { readonly kind: 'unknown'; readonly reason: string; readonly retryAfterMs: number }

/**
 * Is the target still what the decision was made on (runs.md 10)? A target that somebody has already brought where the call would
 * bring it is no drift: the call changes nothing.
 * @param expected null: the decision was made without looking
 */
export function compared(
  expected: JsonObject | null,
  comparison: Comparison,
): Extract<Compared, { comparison: unknown }> {
  const { before, after } = comparison
  const same = expected === null || canonicalHash(before) === canonicalHash(expected)
  if (same || canonicalHash(before) === canonicalHash(after)) return { kind: 'same', comparison }
  const changes = Object.keys({ ...expected, ...before })
    .filter((name) => canonicalHash(before[name] ?? null) !== canonicalHash(expected[name] ?? null))
    .map((name) => `${name} was ${shown(expected[name])} and is ${shown(before[name])}`)
  const reason = `the target has changed since it was decided: ${changes.join(', ')}`
  return { kind: 'drifted', reason: reason.toWellFormed().replaceAll('\0', ''), comparison }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value ?? null)
  return text.length > 120 ? `${text.slice(0, 119)}…` : text
}
