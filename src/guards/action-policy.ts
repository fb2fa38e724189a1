import type { ActionGrant, ChapterFile, PolicyFile } from '../codex/kinds.ts'
import type { CompiledAgent, CompiledDenial } from '../codex/snapshot.ts'
import { durationMs } from '../kernel/duration.ts'
import type { Integrity } from '../kernel/event.ts'
import { ceilingOf } from '../codex/ceilings.ts'
import { inThread } from './thread.ts'
import { targetMatches } from './target-glob.ts'

export interface ActionPolicyInput {
  readonly type: string
  readonly target: string
  /** null: the manifest grants no such action */
  readonly grant: ActionGrant | null
  readonly agent: CompiledAgent
  readonly chapter: ChapterFile | null
  /** a chapter of the event that the Codex does not know any more: its ceilings and holds cannot be read */
  readonly chapterMissing?: string | null
  readonly policies: readonly PolicyFile[]
  readonly denials: readonly CompiledDenial[]
  /** what conditions read: event, payload, metadata, agent, action, trust */
  readonly facts: Readonly<Record<string, unknown>>
  /** targets of the thread the event comes from; empty: none is known */
  readonly thread: readonly string[]
  readonly at: Date
  /** the least trusted text the run has seen */
  readonly integrity: Integrity
  /** actions of this type accepted before in the same run */
  readonly usedInRun: number
  readonly connectorMode: 'shadow' | 'live'
  /** named by GUILD_LIVE */
  readonly live: boolean
}

export interface ActionVerdict {
  readonly verdict: 'run' | 'ask' | 'deny' | 'recommend'
  /** the strictest of grant, chapter, organisation and taint */
  readonly autonomy: number
  /** what decided, e.g. `agents/sentinel.yaml#GITHUB_COMMENT` */
  readonly rule: string
  readonly reason: string
  /** true: rendered and recorded, never sent */
  readonly shadow: boolean
  /** it waits so long on the desk first, where a person may stop it; 0 unless `run` */
  readonly holdMs: number
}

/**
 * May this agent do this, here, now? Absence of a grant is a refusal, and so is every condition that cannot be evaluated (fail closed).
 * Autonomy is the least of what the manifest grants, chapter and organisation allow, and the ceiling of a run that has read words of
 * outsiders: 0 recommends, 1 asks, 2 and 3 run.
 */
export function actionPolicy(input: ActionPolicyInput): ActionVerdict {
  const shadow = !(input.live || input.connectorMode === 'live')
  const place = `${input.agent.place.file}#${input.type}`
  const { grant } = input
  if (!grant) return refuse(place, `the manifest of ${input.agent.id} grants no ${input.type}`, shadow)

  const denial = deniedBy(input)
  if (denial) return refuse(denial.rule, denial.reason, shadow)
  if (!grant.targets.some((glob) => targetMatches(input.target, glob))) {
    return refuse(place, `${input.target} is not among the targets granted: ${grant.targets.join(', ')}`, shadow)
  }
  if (grant.within === 'thread' && !inThread(input.target, input.thread)) {
    const thread = input.thread[0] ?? 'none that is known'
    return refuse(place, `${input.target} is not the thread the run was woken in (${thread})`, shadow)
  }
  const unmet = whenUnmet(grant, input)
  if (unmet) return refuse(place, unmet, shadow)
  if (input.usedInRun >= grant.max)
    return refuse(place, `this run has used all ${grant.max} of its ${input.type}`, shadow)

  const least = leastAutonomy(grant.autonomy, place, input)
  if (least.autonomy <= 0)
    return { verdict: 'recommend', shadow, holdMs: 0, ...least, reason: `recommend only: ${least.reason}` }
  if (least.autonomy === 1) return { verdict: 'ask', shadow, holdMs: 0, ...least }
  return { verdict: 'run', shadow, holdMs: longestHold(grant, input), ...least }
}

/** Whoever wants the longest hold gets it. */
function longestHold(grant: ActionGrant, input: ActionPolicyInput): number {
  const files = [...(input.chapter ? [input.chapter] : []), ...input.policies]
  const wanted = files.flatMap(({ spec }) => [spec.holdMin[input.type], spec.holdMin['*']])
  return Math.max(0, ...[grant.hold, ...wanted].map((hold) => (hold === undefined ? 0 : durationMs(hold))))
}

interface Autonomy {
  readonly autonomy: number
  readonly rule: string
  readonly reason: string
}

function leastAutonomy(granted: number, place: string, input: ActionPolicyInput): Autonomy {
  const ceilings: Autonomy[] = [{ autonomy: granted, rule: place, reason: `granted with autonomy ${granted}` }]
  if (input.chapter) {
    const { name } = input.chapter.metadata
    const autonomy = ceilingOf(input.chapter.spec, input.type, input.target)
    ceilings.push({ autonomy, rule: `chapter ${name}`, reason: `the chapter ${name} allows autonomy ${autonomy}` })
  }
  if (input.chapterMissing) {
    const reason = `the Codex knows no chapter ${input.chapterMissing}: autonomy 1 at most`
    ceilings.push({ autonomy: 1, rule: `chapter ${input.chapterMissing}`, reason })
  }
  for (const policy of input.policies) {
    const autonomy = ceilingOf(policy.spec, input.type, input.target)
    const { name } = policy.metadata
    ceilings.push({ autonomy, rule: `policy ${name}`, reason: `the policy ${name} allows autonomy ${autonomy}` })
  }
  if (input.integrity === 'outsider' || input.integrity === 'public') {
    const autonomy = input.agent.manifest.spec.trust.autonomyCeilingWhenTainted
    const reason = `the run has read words of ${input.integrity === 'public' ? 'the public' : 'an outsider'}: autonomy ${autonomy} at most`
    ceilings.push({ autonomy, rule: `${input.agent.place.file}#trust`, reason })
  }
  const { waiver } = input.agent
  if (waiver && waiver.until <= input.at) {
    const reason = `its waiver expired on ${new Date(waiver.until.getTime() - 1).toISOString().slice(0, 10)}: autonomy 1 at most`
    ceilings.push({ autonomy: 1, rule: waiver.rule, reason })
  }
  // The first of the lowest: the grant itself is named when nothing stricter applies.
  return ceilings.reduce((least, next) => (next.autonomy < least.autonomy ? next : least))
}

/** The first `deny` rule of the Codex that holds; one that cannot be evaluated holds. */
export function deniedBy(
  input: Pick<ActionPolicyInput, 'denials' | 'type' | 'facts'>,
): { rule: string; reason: string } | null {
  for (const denial of input.denials) {
    if (denial.action !== '*' && denial.action !== input.type) continue
    const rule = `${denial.place.file}#${denial.name}`
    if (!denial.when) return { rule, reason: denial.reason }
    const { value, error } = denial.when.test(input.facts)
    if (error !== null) return { rule, reason: `the condition of ${denial.name} could not be evaluated: ${error}` }
    if (value) return { rule, reason: denial.reason }
  }
  return null
}

function whenUnmet(grant: ActionGrant, input: ActionPolicyInput): string | null {
  if (grant.when === undefined) return null
  const condition = input.agent.conditions.get(grant.when)
  if (!condition) return `the condition ${grant.when} was not compiled`
  const { value, error } = condition.test(input.facts)
  if (error !== null) return `the condition ${grant.when} could not be evaluated: ${error}`
  return value ? null : `granted only when ${grant.when}`
}

function refuse(rule: string, reason: string, shadow: boolean): ActionVerdict {
  return { verdict: 'deny', autonomy: 0, rule, reason, shadow, holdMs: 0 }
}
