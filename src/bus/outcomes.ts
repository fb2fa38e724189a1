import { backoffMs } from '../kernel/backoff.ts'
import { isGuildError, reasonOf } from '../kernel/errors.ts'
import type { Nack } from './bus.ts'
import type { Claim, Outcome } from './claims.ts'

export interface OutcomeRules {
  readonly attemptsMax: number
  /** in [0, 1) */
  readonly random: number
}

const redelivery = { baseMs: 1_000, maxMs: 300_000 }
const delayMsMax = 24 * 3_600_000
const reasonCharsMax = 500

/** The handler resolved: what it did not name is acknowledged. */
export function resolved<H>(
  batch: readonly Claim<H>[],
  nacks: readonly Nack[],
  rules: OutcomeRules,
): readonly Outcome<H>[] {
  const byId = new Map(nacks.map((nack) => [nack.id, nack]))
  return batch.map((claim) => {
    const nack = byId.get(claim.delivery.id)
    return nack === undefined ? { claim, kind: 'ack' } : failed(claim, nack, rules)
  })
}

/** The handler rejected: the whole batch returns, after what the error asks for. */
export function rejected<H>(batch: readonly Claim<H>[], error: unknown, rules: OutcomeRules): readonly Outcome<H>[] {
  const delayMs = isGuildError(error) ? error.retryAfterMs : undefined
  return batch.map((claim) =>
    failed(claim, { reason: reasonOf(error), ...(delayMs !== undefined && { delayMs }) }, rules),
  )
}

/** One delivery went wrong: again later, or to the dead letters. */
export function failed<H>(claim: Claim<H>, nack: Omit<Nack, 'id'>, { attemptsMax, random }: OutcomeRules): Outcome<H> {
  const { attempt } = claim.delivery
  const reason = storable(nack.reason)
  if (nack.dead === true || attempt >= attemptsMax) return { claim, kind: 'dead', reason }
  const delayMs = Math.max(0, Math.min(Math.round(nack.delayMs ?? backoffMs(attempt, redelivery, random)), delayMsMax))
  return { claim, kind: 'return', delayMs, reason }
}

/** Texts of other systems end up here; not every store takes every character. */
function storable(reason: string): string {
  return reason.slice(0, reasonCharsMax).replaceAll('\0', '').toWellFormed()
}
