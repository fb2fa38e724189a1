import type { BudgetLimit, Reservation } from '../ledger/ledger.ts'
import { worstCase } from '../ledger/price.ts'
import type { LlmRequest } from '../llm/llm.ts'
import type { EndReason } from './ending.ts'
import { fits, runLimits } from './limits.ts'
import { type Run, spentBy } from './run-context.ts'
import { type ModelRequest, type Step, storable } from './step.ts'

/** A model call that is ready to be made. */
export interface Call {
  readonly request: LlmRequest
  readonly meant: ModelRequest
  readonly intent: Step
}

/** There is no room for a call. */
export interface Refusal {
  readonly kind: 'refused'
  readonly reason: EndReason
  readonly detail: string
}

const reservationMs = 600_000
const budgetReasons = {
  organization: 'BUDGET_ORG',
  chapter: 'BUDGET_CHAPTER',
  agent: 'BUDGET_AGENT',
  run: 'BUDGET_RUN',
} as const

/** Of the serving commit, not of the pinned one: a budget tightened today holds for the runs of yesterday. */
export function currentLimits({ deps, agent, chapter, journal }: Run): readonly BudgetLimit[] {
  return deps.limitsFor(deps.codex.current(), agent, chapter, journal.invocation.id)
}

/** T1: the worst case from every budget, and the intent. A normal call leaves the landing reserve untouched. */
export async function reserveCall(
  run: Run,
  call: Call,
): Promise<{ readonly kind: 'reserved'; readonly call: Call } | Refusal> {
  const { deps, journal, agent } = run
  const { request, meant, intent } = call
  const worst = worstCase(meant.inputTokens, request.maxOutputTokens, meant.price)
  const limits = runLimits(agent.manifest.spec.limits)
  if (!meant.closing && !fits(worst.tokens, worst.costMicros, spentBy(run), limits)) {
    const detail = `the next call may take ${worst.tokens} tokens, and ${spentBy(run).tokens} of ${limits.tokens} are used`
    return { kind: 'refused', reason: 'BUDGET_RUN', detail }
  }
  const { id, lease_epoch } = journal.invocation
  const now = deps.clock.now()
  let reservation: Reservation | null = null
  let reserved: Call = call
  await journal.transact(async (tx) => {
    reservation = await deps.ledger.reserve(tx, {
      invocationId: id,
      stepSeq: intent.seq,
      attempt: intent.attempt,
      leaseEpoch: lease_epoch,
      owner: deps.owner,
      tokens: worst.tokens,
      costMicros: worst.costMicros,
      limits: currentLimits(run),
      at: now,
      expiresAt: new Date(now.getTime() + reservationMs),
    })
    if (reservation.kind === 'refused') return {}
    const kept: ModelRequest = { ...meant, reservation: reservation.id }
    reserved = { request, meant: kept, intent: { ...intent, request: storable(kept) } }
    return { steps: [reserved.intent] }
  })
  return refusalOf(run, reservation) ?? { kind: 'reserved', call: reserved }
}

function refusalOf({ journal }: Run, reservation: Reservation | null): Refusal | null {
  if (reservation?.kind !== 'refused') return null
  const { limit, dimension, left, need } = reservation
  const unit = dimension === 'tokens' ? 'tokens' : 'micro-USD'
  const detail = `the ${limit.kind} budget of ${limit.entityType} ${limit.entityId} has ${left} ${unit} left, the next call may take ${need}`
  journal.note({ stage: 'budget', outcome: 'REFUSED', reason: detail })
  return { kind: 'refused', reason: budgetReasons[limit.entityType], detail }
}
