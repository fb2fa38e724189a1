import type { Fault } from './director.ts'
import { figures, type FaultFigures, type Resumes, resumes, resumeMsMax } from './measure.ts'
import type { Config, Options } from './options.ts'
import type { Books } from './reconcile.ts'
import type { FakeTarget } from './target.ts'
import type { World } from './world.ts'

export const quietMs = 240_000
const lateMs = 60_000

export interface Result {
  readonly config: Config
  readonly deliveries: number
  readonly seed: number
  readonly seconds: number
  readonly folder: string
  readonly accepted: number
  readonly attempts: number
  readonly refusals: Readonly<Record<string, number>>
  /** from the first delivery to the last effect */
  readonly perSecond: number
  readonly lost: readonly number[]
  readonly duplicated: readonly { readonly issue: number; readonly effects: number }[]
  /** effects without an accepted delivery */
  readonly strange: readonly number[]
  readonly late: { readonly count: number; readonly maxMs: number; readonly why: Readonly<Record<string, number>> }
  readonly faults: readonly (Pick<Fault, 'kind' | 'what'> & { readonly atMs: number; readonly lastedMs: number })[]
  readonly figures: readonly FaultFigures[]
  readonly skipped: Readonly<Record<string, string>>
  readonly resumes: Resumes
  readonly books: Books
  readonly checks: Readonly<Record<string, { readonly code: number | null; readonly output: string }>>
  readonly quiet: boolean
  /** why this run does not prove what it should; empty: it does */
  readonly failures: readonly string[]
}

/** One configuration, played to its end. */
export interface Measured {
  readonly world: World
  readonly options: Options
  readonly faults: readonly Fault[]
  readonly books: Books
  readonly checks: Result['checks']
  readonly skipped: Readonly<Record<string, string>>
  readonly quiet: boolean
  readonly codes: readonly (number | null)[]
  readonly seconds: number
  readonly perSecond: number
  readonly beganMs: number
}

/** What it was, and why it does not prove what it should, if so. */
export function judge(measured: Measured): Result {
  const { world, options, faults, books, checks, skipped, quiet, seconds, perSecond, beganMs } = measured
  const { deliveries, target, config, folder } = world
  const counts = target.counts()
  const accepted = [...deliveries.accepted]
  const lost = accepted.filter(([issue]) => !counts.has(issue)).map(([issue]) => issue)
  const duplicated = [...counts].filter(([, n]) => n > 1).map(([issue, effects]) => ({ issue, effects }))
  const strange = [...counts.keys()].filter((issue) => !deliveries.accepted.has(issue))
  const resumed = resumes(books.claims, faults, performance.timeOrigin, performance.now())
  const late = lateness(accepted, target, faults)
  const failures = failuresOf(measured, { lost, duplicated, strange, resumed })
  return {
    config,
    deliveries: options.deliveries,
    seed: options.seed,
    folder,
    accepted: accepted.length,
    attempts: deliveries.attempts,
    refusals: Object.fromEntries(deliveries.refusals),
    lost,
    duplicated,
    strange,
    late,
    faults: faults.map(({ kind, what, beganMs: at, overMs }) => ({
      kind,
      what,
      atMs: Math.round(at - beganMs),
      lastedMs: Math.round(overMs - at),
    })),
    figures: figures(
      faults,
      accepted.map(([issue, acceptedMs]) => ({ acceptedMs, effectMs: target.firstEffect(issue) })),
    ),
    skipped,
    resumes: resumed,
    books,
    checks,
    quiet,
    failures,
    seconds,
    perSecond,
  }
}

type Found = Pick<Result, 'lost' | 'duplicated' | 'strange'> & { readonly resumed: Resumes }

function failuresOf(
  { world, options, books, checks, quiet, codes }: Measured,
  { lost, duplicated, strange, resumed }: Found,
): readonly string[] {
  const never = options.deliveries - world.deliveries.accepted.size
  const twice = duplicated.map(({ issue }) => issue)
  const limit = `${resumeMsMax / 1_000} s`
  return [
    ...(never > 0 ? [`${never} were never accepted`] : []),
    ...(lost.length > 0 ? [`${lost.length} lost: ${named(lost)}`] : []),
    ...(twice.length > 0 ? [`${twice.length} with more than one effect: ${named(twice)}`] : []),
    ...(strange.length > 0 ? [`${strange.length} effects without an accepted delivery: ${named(strange)}`] : []),
    ...(resumed.late.length > 0
      ? [`${resumed.late.length} runs resumed later than ${limit}: ${resumed.late.slice(0, 3).join('; ')}`]
      : []),
    ...(quiet ? [] : [`not quiet after ${quietMs / 1_000} s`]),
    ...(books.misfits.length > 0
      ? [`${books.misfits.length} do not add up in the database: ${books.misfits.slice(0, 5).join('; ')}`]
      : []),
    ...auditFailures(books),
    ...Object.entries(checks).flatMap(([name, { code, output }]) =>
      code === 0 ? [] : [`${name} exits ${code}: ${output.trim()}`],
    ),
    ...world.processes.flatMap(({ name, deaths }) => (deaths > 0 ? [`${name} ended by itself, ${deaths} times`] : [])),
    ...codes.flatMap((code, index) =>
      code === 0 ? [] : [`${world.processes[index]?.name ?? ''} stopped with ${code}`],
    ),
  ]
}

/** What was done stands in the trail, once. */
function auditFailures({ audited, runs, actions }: Books): readonly string[] {
  const expected = {
    AGENT_INVOCATION: runs['COMPLETED'] ?? 0,
    ACTION_PROPOSED: Object.values(actions).reduce((sum, count) => sum + count, 0) - (actions['none'] ?? 0),
    ACTION_EXECUTED: actions['SUCCEEDED'] ?? 0,
  }
  return Object.entries(expected).flatMap(([type, count]) => {
    const { rows, again } = audited[type] ?? { rows: 0, again: 0 }
    return rows === count && again === 0
      ? []
      : [`${rows} audit rows ${type} for ${count}, ${again} of them say what another has said`]
  })
}

function named(issues: readonly number[]): string {
  return `#${issues.slice(0, 10).join(', #')}`
}

/** Later than 60 s from its acceptance to its effect, and what happened in between. */
function lateness(
  accepted: readonly (readonly [number, number])[],
  target: FakeTarget,
  faults: readonly Fault[],
): Result['late'] {
  const why: Record<string, number> = {}
  let count = 0
  let maxMs = 0
  for (const [issue, atMs] of accepted) {
    const effectMs = target.firstEffect(issue)
    if (effectMs === undefined) continue
    maxMs = Math.max(maxMs, effectMs - atMs)
    if (effectMs - atMs <= lateMs) continue
    count += 1
    const first = faults.find(({ beganMs, overMs }) => overMs >= atMs && beganMs <= effectMs)
    const cause = first ? `first ${first.kind}` : 'no fault in between'
    why[cause] = (why[cause] ?? 0) + 1
  }
  return { count, maxMs: Math.round(maxMs), why }
}
