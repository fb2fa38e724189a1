import type { Fault } from './director.ts'
import type { ClaimRow } from './reconcile.ts'

export interface FaultFigures {
  readonly kind: string
  readonly count: number
  /** longest time without any effect, from the fault until the first effect after its end; ms */
  readonly silenceMs: Spread
  /** from the fault until all that was accepted before it had its effect; ms */
  readonly caughtUpMs: Spread
}

export interface Spread {
  readonly p50: number
  readonly max: number
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  return { p50: sorted[Math.floor((sorted.length - 1) / 2)] ?? 0, max: sorted.at(-1) ?? 0 }
}

/** One delivery; times are performance.now(). */
export interface Served {
  readonly acceptedMs: number
  /** undefined: it never came */
  readonly effectMs: number | undefined
}

export function figures(faults: readonly Fault[], served: readonly Served[]): readonly FaultFigures[] {
  const effects = served.flatMap(({ effectMs }) => effectMs ?? []).sort((a, b) => a - b)
  return [...Map.groupBy(faults, ({ kind }) => kind)].map(([kind, list]) => {
    const struck = list
      .map((fault) => ({ fault, lastMs: lastOfPending(fault, served) }))
      .filter(({ lastMs }) => lastMs > 0)
    return {
      kind,
      count: list.length,
      silenceMs: spread(struck.map(({ fault }) => silenceOf(fault, effects))),
      caughtUpMs: spread(struck.map(({ fault, lastMs }) => lastMs - fault.beganMs)),
    }
  })
}

function silenceOf({ beganMs, overMs }: Fault, effects: readonly number[]): number {
  let longest = 0
  let last = beganMs
  for (const at of effects) {
    if (at <= beganMs) continue
    longest = Math.max(longest, at - last)
    last = at
    if (at > overMs) break
  }
  return longest
}

/** When the last of what was accepted before the fault, and had no effect then, had it; 0: there was nothing in flight. */
function lastOfPending({ beganMs }: Fault, served: readonly Served[]): number {
  return served.reduce(
    (last, { acceptedMs, effectMs = 0 }) =>
      acceptedMs <= beganMs && effectMs > beganMs ? Math.max(last, effectMs) : last,
    0,
  )
}

export interface Resumes {
  /** takeovers of a run, by itself after a failure or by another worker after its owner died */
  readonly count: number
  readonly ms: Spread
  /** of these the journal's times cannot be used: a clock had been moved */
  readonly unknown: number
  readonly late: readonly string[]
}

export const resumeMsMax = 30_000

/** When faults end that follow one another without a pause, beginning with the one that ends at `overMs`. */
function endOfOverlapping(faults: readonly Fault[], overMs: number): number {
  const longer = faults.filter((fault) => fault.beganMs <= overMs && fault.overMs > overMs)
  return longer.length === 0 ? overMs : endOfOverlapping(faults, Math.max(...longer.map((fault) => fault.overMs)))
}

/**
 * How long interrupted runs waited: a run is interrupted when it was claimed twice, and resumed by the later claim (rows of
 * `guild_core.decisions`, written in the transaction of the claim). Counted from the end of the first fault between the two claims and of
 * those that overlap it (a process may be stopped while connections are cut); a claim before that end waited for nothing.
 *
 * @param originMs wall clock of performance.now() = 0
 */
export function resumes(
  claims: readonly ClaimRow[],
  faults: readonly Fault[],
  originMs: number,
  endMs: number,
): Resumes {
  const waited: number[] = []
  const late: string[] = []
  let unknown = 0
  for (const { id, claimed_at } of claims) {
    const times = claimed_at.map((at) => Date.parse(at) - originMs)
    for (const [index, resumedMs] of times.entries()) {
      const before = times[index - 1]
      if (before === undefined) continue
      if (resumedMs < before || before < 0 || resumedMs > endMs) {
        unknown += 1
        continue
      }
      const hits = faults.filter(({ beganMs, overMs }) => beganMs <= resumedMs && overMs >= before)
      const inside = hits.filter(({ beganMs }) => beganMs >= before)
      const first = Math.min(...(inside.length > 0 ? inside : hits).map(({ overMs }) => overMs), resumedMs)
      const over = Math.min(endOfOverlapping(hits, first), resumedMs)
      waited.push(resumedMs - over)
      if (resumedMs - over > resumeMsMax) late.push(`${id}: claimed again after ${Math.round(resumedMs - over)} ms`)
    }
  }
  return { count: waited.length, ms: spread(waited), unknown, late }
}
