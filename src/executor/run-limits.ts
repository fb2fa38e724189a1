import { inputBoundMode, learnedBound } from '../ledger/learned-bound.ts'
import type { BudgetLimit } from '../ledger/ledger.ts'
import type { ModelChoice } from '../llm/llm.ts'
import { type RunLimits, runLimits } from './limits.ts'
import type { Run } from './run-context.ts'

export const budgetReasons = {
  organization: 'BUDGET_ORG',
  chapter: 'BUDGET_CHAPTER',
  agent: 'BUDGET_AGENT',
  tree: 'CAUSAL_DEPTH',
  run: 'BUDGET_RUN',
} as const

/** Of the serving commit, not of the pinned one: a budget tightened today holds for the runs of yesterday. */
export function currentLimits({ deps, agent, chapter, journal }: Run): readonly BudgetLimit[] {
  const { id, causal_root, handoff } = journal.invocation
  const limits = deps.limitsFor(deps.codex.current(), agent, chapter, { invocationId: id, causalRoot: causal_root })
  if (!handoff) return limits
  return limits.map((limit) =>
    limit.entityType === 'run'
      ? {
          ...limit,
          tokens: least(limit.tokens, handoff.tokens),
          costMicros: least(limit.costMicros, handoff.cost_micros),
        }
      : limit,
  )
}

function least(limit: number | null, given: number): number {
  return limit === null ? given : Math.min(limit, given)
}

/** The manifest's, no more than what a giver left to it, and what people have granted on top. */
export function limitsOf({ agent, journal }: Run): RunLimits {
  const { handoff } = journal.invocation
  const { granted_tokens, granted_cost_micros } = journal.granted
  const own = runLimits(agent.manifest.spec.limits)
  const tokens = least(own.tokens, handoff?.tokens ?? own.tokens)
  const limits = {
    ...own,
    tokens,
    costMicros: least(own.costMicros, handoff?.cost_micros ?? own.costMicros),
    // Of a small share the reserve must not be all.
    landingReserve: handoff ? Math.min(own.landingReserve, Math.floor(tokens / 5)) : own.landingReserve,
  }
  return { ...limits, tokens: limits.tokens + granted_tokens, costMicros: limits.costMicros + granted_cost_micros }
}

/** Strict, unless manifest or policy accept that one call in a hundred passes its bound. @param bytes the strict bound */
export async function inputTokensOf({ deps, agent }: Run, choice: ModelChoice, bytes: number): Promise<number> {
  const mode = inputBoundMode(agent.manifest.spec.model, deps.codex.current().policies)
  if (mode === 'strict' || bytes === 0) return bytes
  return learnedBound(bytes, await deps.tokensPerByte(choice.provider, choice.model))
}
