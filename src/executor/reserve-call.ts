import type { Reservation, Standing } from '../ledger/ledger.ts'
import { worstCase } from '../ledger/price.ts'
import type { LlmRequest } from '../llm/llm.ts'
import type { EndReason } from './ending.ts'
import { preparedFor } from './degrade.ts'
import { landingReserve } from './landing.ts'
import { fits } from './limits.ts'
import { type Run, spentBy } from './run-context.ts'
import { budgetReasons, currentLimits, limitsOf } from './run-limits.ts'
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

/**
 * T1: the worst case from every budget, and the intent. A normal call leaves the landing reserve untouched, in tokens and in money, at
 * every level: what a run needs for its closing call.
 * @returns `degraded`: a budget has passed into a level that the call was not made for, and nothing was taken
 */
export async function reserveCall(
  run: Run,
  call: Call,
): Promise<
  | { readonly kind: 'reserved'; readonly call: Call }
  | { readonly kind: 'degraded'; readonly standing: Standing }
  | Refusal
> {
  const { deps, journal } = run
  const { request, meant, intent } = call
  const worst = worstCase(meant.inputTokens, request.maxOutputTokens, meant.price)
  const landing = meant.closing ? { tokens: 0, costMicros: 0 } : landingReserve(run, meant)
  const limits = limitsOf(run)
  if (!meant.closing && !fits(worst, landing, spentBy(run), limits)) {
    const { tokens, costMicros } = spentBy(run)
    const detail = `the next call may take ${worst.tokens} tokens or ${worst.costMicros} micro-USD, and ${tokens} of ${limits.tokens} tokens, ${costMicros} of ${limits.costMicros} micro-USD are used`
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
      headroom: landing,
      madeFor: preparedFor(run),
      at: now,
      expiresAt: new Date(now.getTime() + reservationMs),
    })
    if (reservation.kind !== 'reserved') return {}
    const kept: ModelRequest = { ...meant, reservation: reservation.id }
    reserved = { request, meant: kept, intent: { ...intent, request: storable(kept) } }
    return { steps: [reserved.intent] }
  })
  return verdict(run, reservation, reserved, landing)
}

function verdict(
  run: Run,
  reservation: Reservation | null,
  call: Call,
  landing: { tokens: number; costMicros: number },
) {
  if (reservation === null) throw new TypeError('the transaction has always asked the ledger')
  if (reservation.kind === 'degraded') return reservation
  if (reservation.kind === 'reserved') {
    run.budget.heard(run, reservation.standing)
    return { kind: 'reserved', call } as const
  }
  const { limit, dimension, left, need } = reservation
  const unit = dimension === 'tokens' ? 'tokens' : 'micro-USD'
  const kept = dimension === 'tokens' ? landing.tokens : landing.costMicros
  const what =
    limit.entityType === 'tree'
      ? `the cost of the causal tree of ${limit.entityId}`
      : `the ${limit.kind} budget of ${limit.entityType} ${limit.entityId}`
  const detail = `${what} has ${left} ${unit} left, the next call may take ${need}${kept > 0 ? ` and ${kept} are kept for the closing call` : ''}`
  run.journal.note({ stage: 'budget', outcome: 'REFUSED', reason: detail })
  return { kind: 'refused', reason: budgetReasons[limit.entityType], detail } as const
}
