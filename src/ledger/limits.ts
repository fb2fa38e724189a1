import type { ChapterFile } from '../codex/kinds.ts'
import type { CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import type { BudgetLimit } from './ledger.ts'

type Quota = ChapterFile['spec']['budget']

const periods = [
  { kind: 'hour', field: 'hourly' },
  { kind: 'day', field: 'daily' },
  { kind: 'month', field: 'monthly' },
] as const

/**
 * Everything a model call of this run must fit in: organisation, chapter, agent, causal tree, run. Of several policies the strictest
 * holds; of the agents that took part in a tree too, which the ledger sees to. The
 * month of organisation, chapter and agent is always named, without a limit if there is none, so that use is counted everywhere.
 * @param snapshot the serving one, not the pinned one: a limit tightened today holds for runs of yesterday's commit
 * @param chapter of the run: the agent's, else the event's
 */
export function budgetLimits(
  snapshot: Pick<CodexSnapshot, 'policies' | 'chapters'>,
  agent: Pick<CompiledAgent, 'id' | 'manifest'>,
  chapter: string | null,
  organisation: string,
  run: { readonly invocationId: string; readonly causalRoot: string },
): readonly BudgetLimit[] {
  const policies = snapshot.policies.flatMap((policy) => policy.spec.budget ?? [])
  const chapterBudget = chapter === null ? undefined : snapshot.chapters.get(chapter)?.spec.budget
  const { tokensPerInvocation, costPerInvocation, causal, budget } = agent.manifest.spec.limits
  return [
    ...periodLimits('organization', organisation, policies),
    ...(chapter === null ? [] : periodLimits('chapter', chapter, chapterBudget ? [chapterBudget] : [])),
    ...periodLimits('agent', agent.id, [budget]),
    {
      entityType: 'tree',
      entityId: run.causalRoot,
      kind: 'tree',
      tokens: null,
      costMicros: toMicros(causal.maxCostPerTree),
    },
    {
      entityType: 'run',
      entityId: run.invocationId,
      kind: 'run',
      tokens: tokensPerInvocation,
      costMicros: toMicros(costPerInvocation),
    },
  ]
}

function periodLimits(
  entityType: BudgetLimit['entityType'],
  entityId: string,
  quotas: readonly Quota[],
): readonly BudgetLimit[] {
  return periods.flatMap(({ kind, field }) => {
    const tokens = strictest(quotas.map((quota) => quota.tokens?.[field]))
    const cost = strictest(quotas.map((quota) => quota.cost?.[field]))
    if (tokens === null && cost === null && kind !== 'month') return []
    return [{ entityType, entityId, kind, tokens, costMicros: cost === null ? null : toMicros(cost) }]
  })
}

function strictest(values: readonly (number | undefined)[]): number | null {
  const set = values.filter((value) => value !== undefined)
  return set.length === 0 ? null : Math.min(...set)
}

function toMicros(usd: number): number {
  return Math.round(usd * 1_000_000)
}
