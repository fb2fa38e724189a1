import { ceilingOf } from './ceilings.ts'
import type { Documents } from './documents.ts'
import type { AgentManifest } from './kinds.ts'
import type { CodexSnapshot } from './snapshot.ts'
import { stands, type Trifecta, trifectaOf } from './trifecta.ts'

/** What holds for an agent after organisation, chapter and manifest have each had their say; for people. */
export interface AgentExplanation {
  readonly agent: string
  readonly version: string
  readonly chapter: string | null
  readonly unmet: readonly string[]
  readonly waiver: { readonly rule: string; readonly until: string; readonly approvedBy: string } | null
  readonly limits: readonly { readonly name: string; readonly value: string; readonly by: string }[]
  readonly actions: readonly ExplainedAction[]
  readonly trifecta: Trifecta & { readonly stands: boolean }
}

export interface ExplainedAction {
  readonly type: string
  readonly targets: readonly string[]
  readonly within: string | null
  /** what the manifest grants */
  readonly granted: number
  /** the strictest, wherever the target is */
  readonly autonomy: number
  readonly by: string
  /** stricter on some targets: `at most 1 on octo/* (policy org)` */
  readonly narrower: readonly string[]
  /** what is left once the run has read words of strangers */
  readonly whenTainted: number
}

const shownLimits = [
  'maxSteps',
  'maxToolCalls',
  'maxParallelTools',
  'tokensPerInvocation',
  'costPerInvocation',
  'maxActiveDuration',
  'maxWait',
] as const

/** null: there is no such agent. */
export function explainAgent(snapshot: CodexSnapshot, documents: Documents, id: string): AgentExplanation | null {
  const agent = snapshot.agents.get(id)
  const document = documents.Agent.find(({ value }) => value.metadata.name === id)
  if (!agent || !document) return null
  const { metadata, spec } = agent.manifest
  const legs = trifectaOf(document, documents, snapshot.routes)
  const { waiver } = agent
  return {
    agent: id,
    version: metadata.version,
    chapter: metadata.chapter ?? null,
    unmet: agent.unmet,
    waiver: waiver ? { rule: waiver.rule, until: waiver.until.toISOString(), approvedBy: waiver.approvedBy } : null,
    limits: shownLimits.map((name) => ({
      name,
      value: String(spec.limits[name]),
      by: agent.limitsBy?.[name] ?? 'the manifest',
    })),
    actions: spec.tools.actions.map((grant) => explainGrant(grant, agent.manifest, snapshot)),
    trifecta: { ...legs, stands: stands(legs) },
  }
}

function explainGrant(
  { type, targets, within, autonomy: granted }: AgentManifest['spec']['tools']['actions'][number],
  { metadata, spec }: AgentManifest,
  { policies, chapters }: CodexSnapshot,
): ExplainedAction {
  const chapter = metadata.chapter === undefined ? undefined : chapters.get(metadata.chapter)
  const files = [
    ...policies.map((policy) => ({ by: `policy ${policy.metadata.name}`, spec: policy.spec })),
    ...(chapter ? [{ by: `chapter ${chapter.metadata.name}`, spec: chapter.spec }] : []),
  ]
  const bounds = [
    { by: 'the manifest', max: granted },
    ...files.map((file) => ({ by: file.by, max: ceilingOf(file.spec, type, null) })),
  ]
  const least = bounds.reduce((lowest, next) => (next.max < lowest.max ? next : lowest))
  const narrower = files.flatMap((file) =>
    file.spec.ceilings
      .filter(
        (one) =>
          !one.targets.includes('*') &&
          one.max < least.max &&
          ceilingOf({ autonomyMax: {}, ceilings: [{ ...one, targets: ['*'] }] }, type, null) < 3,
      )
      .map((one) => `at most ${one.max} on ${one.targets.join(', ')} (${file.by})`),
  )
  return {
    type,
    targets,
    within: within ?? null,
    granted,
    autonomy: least.max,
    by: least.by,
    narrower,
    whenTainted: Math.min(least.max, spec.trust.autonomyCeilingWhenTainted),
  }
}
