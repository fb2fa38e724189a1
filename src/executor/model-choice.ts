import type { ModelChoice } from '../llm/llm.ts'

export interface ModelFailure {
  readonly alias: string
  readonly code: string
  readonly error: string
}

export type Picked =
  | { readonly kind: 'call'; readonly choice: ModelChoice; readonly skipped: readonly Skipped[] }
  /** Every model that could answer is cut off or limited until then. */
  | { readonly kind: 'wait'; readonly until: Date; readonly why: string }
  | { readonly kind: 'none'; readonly why: string }
export interface Skipped {
  readonly alias: string
  readonly why: string
}

/** After so many failures on one model the next in `prefer` is asked; after so many in all the run fails. */
export const failuresPerModel = 2
export const failuresMax = 6

const waiting: ReadonlySet<string> = new Set(['GUILD_LLM_UNAVAILABLE', 'GUILD_LLM_OVERLOADED', 'GUILD_LLM_TIMEOUT'])

/** A provider that is not to be called before a time, by its breaker (`cut off`) or because it limits the rate. */
export interface Blocked {
  readonly until: Date
  readonly why: string
  readonly open: boolean
}

/** A rate limit that ends so soon is waited for; after that the next in `prefer` is asked, as with a provider that is cut off. */
const limitWaitMaxMs = 30_000

/** Failures that waiting may heal; all others rule a model out for the rest of the run. */
export function mayHeal(code: string): boolean {
  return waiting.has(code)
}

/**
 * Which model answers next. The manifest's order holds, but for a run that has an answer already: it stays with what answered. A
 * provider that is configured and fails is left only for what the manifest names after it, so nothing falls back to `rules` unasked.
 * @param candidates `model.prefer` with what the directory says of each
 * @param failures at this step, in order
 * @param ruledOut aliases that this run may not use any more, with the reason
 * @param answered alias of the last answer; null: none yet
 * @param blocked by provider
 */
export function pickModel(
  candidates: readonly { readonly alias: string; readonly choice: ModelChoice | { readonly unavailable: string } }[],
  failures: readonly ModelFailure[],
  ruledOut: ReadonlyMap<string, string>,
  answered: string | null,
  blocked: ReadonlyMap<string, Blocked> = new Map(),
  now: Date = new Date(0),
): Picked {
  const skipped: Skipped[] = []
  const usable: ModelChoice[] = []
  for (const { alias, choice } of candidates) {
    const why = ruledOut.get(alias) ?? ('unavailable' in choice ? choice.unavailable : null)
    if (why !== null) skipped.push({ alias, why })
    else if (!('unavailable' in choice)) usable.push(choice)
  }
  const counted = failures.filter(({ code }) => mayHeal(code))
  const last = counted.at(-1)
  if (last && counted.length >= failuresMax) return { kind: 'none', why: `${last.error} (${counted.length} attempts)` }
  const from = Math.max(
    0,
    usable.findIndex((choice) => choice.alias === answered),
  )
  if (usable.length === 0) return { kind: 'none', why: skipped.map(({ alias, why }) => `${alias}: ${why}`).join('; ') }
  const at = (from + Math.floor(counted.length / failuresPerModel)) % usable.length
  const order = [...usable.slice(at), ...usable.slice(0, at)]
  const first = order.findIndex(({ provider }) => {
    const block = blocked.get(provider)
    return !block || (!block.open && block.until.getTime() - now.getTime() <= limitWaitMaxMs)
  })
  const choice = order[first]
  const waits = (choice ? [choice] : usable).flatMap(({ provider }) => blocked.get(provider) ?? [])
  const [soonest] = waits.toSorted((a, b) => a.until.getTime() - b.until.getTime())
  if (soonest) return { kind: 'wait', ...soonest }
  if (!choice) return { kind: 'none', why: 'no model is left' }
  for (const { alias, provider } of order.slice(0, first))
    skipped.push({ alias, why: blocked.get(provider)?.why ?? '' })
  for (const { alias, error } of counted) {
    if (alias !== choice.alias && !skipped.some((skip) => skip.alias === alias)) skipped.push({ alias, why: error })
  }
  return { kind: 'call', choice, skipped }
}
