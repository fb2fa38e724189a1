import { durationMs } from '../kernel/duration.ts'
import type { AgentManifest, ChapterFile, PolicyFile } from './kinds.ts'
import type { CompiledAgent } from './snapshot.ts'

type Limits = AgentManifest['spec']['limits']
export type LimitRange = NonNullable<PolicyFile['spec']['limitRange']>
type Bound = keyof LimitRange['max']

/** Who bounds: `policy rate-limits`, `chapter payments`. */
export interface NamedRange {
  readonly by: string
  readonly range: LimitRange
}

export interface EffectiveLimits {
  readonly limits: Limits
  /** by limit: who decided, where it is not the manifest */
  readonly by: Readonly<Partial<Record<Bound, string>>>
}

/**
 * What holds of a manifest's limits: what it says, or else the least default that applies, and never more than the least maximum. Pure.
 * @param stated the limits that the manifest itself names
 */
export function effectiveLimits(
  limits: Limits,
  stated: ReadonlySet<string>,
  ranges: readonly NamedRange[],
): EffectiveLimits {
  let held: Limits = limits
  const by: Partial<Record<Bound, string>> = {}
  const names = new Set(ranges.flatMap(({ range }) => [...keysOf(range.default), ...keysOf(range.max)]))
  for (const name of names) {
    const least = (list: 'default' | 'max') =>
      ranges
        .filter(({ range }) => range[list][name] !== undefined)
        .toSorted((a, b) => measure(a.range[list][name]) - measure(b.range[list][name]))[0]
    const usual = stated.has(name) ? undefined : least('default')
    if (usual) {
      held = { ...held, [name]: usual.range.default[name] }
      by[name] = `default of ${usual.by}`
    }
    const most = least('max')
    if (most && measure(most.range.max[name]) < measure(held[name])) {
      held = { ...held, [name]: most.range.max[name] }
      by[name] = `maximum of ${most.by}`
    }
  }
  return { limits: held, by }
}

/** The ranges that bound every run of an agent: the organisation's, and its own chapter's. */
export function rangesOf(
  policies: readonly PolicyFile[],
  chapter: ChapterFile | null | undefined,
): readonly NamedRange[] {
  return [
    ...policies.map(({ metadata, spec }) => ({ by: `policy ${metadata.name}`, range: spec.limitRange })),
    ...(chapter ? [{ by: `chapter ${chapter.metadata.name}`, range: chapter.spec.limitRange }] : []),
  ].filter((named): named is NamedRange => named.range !== undefined)
}

/** An org-wide agent that works for a chapter keeps within what the chapter allows. */
export function withinChapter(agent: CompiledAgent, chapter: ChapterFile | undefined): CompiledAgent {
  if (!chapter?.spec.limitRange || agent.manifest.metadata.chapter !== undefined) return agent
  const { spec } = agent.manifest
  const ranges = [{ by: `chapter ${chapter.metadata.name}`, range: { ...chapter.spec.limitRange, default: {} } }]
  const { limits, by } = effectiveLimits(spec.limits, new Set(), ranges)
  return {
    ...agent,
    manifest: { ...agent.manifest, spec: { ...spec, limits } },
    limitsBy: { ...agent.limitsBy, ...by },
  }
}

function keysOf(bounds: LimitRange['max']): readonly Bound[] {
  return Object.keys(bounds) as Bound[] // a strict object of exactly these
}

/** Durations are compared as time. */
function measure(value: number | string | undefined): number {
  return typeof value === 'string' ? durationMs(value) : (value ?? Number.POSITIVE_INFINITY)
}
