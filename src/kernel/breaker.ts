/** Health of a system that we call, a connector or a model provider; shared by all processes. */
export interface Breaker {
  readonly state: 'CLOSED' | 'OPEN' | 'HALF_OPEN'
  readonly failures: number
  /** first failure of the series that counts */
  readonly since: Date | null
  readonly openings: number
  /** OPEN: when one trial may go; HALF_OPEN: when the trial counts as lost */
  readonly retryAt: Date | null
}

export const closedBreaker: Breaker = { state: 'CLOSED', failures: 0, since: null, openings: 0, retryAt: null }

const failuresMax = 5
const windowMs = 60_000
const openMs = 30_000
const openMsMax = 15 * 60_000
/** longer than a call and its lease may last */
export const trialMs = 30_000

/** 5 failures in a row within 60 s open it; a failed trial opens it again for twice as long, up to 15 minutes (edges 3, retry table). */
export function afterFailure(breaker: Breaker, now: Date): Breaker {
  const fresh = breaker.state === 'CLOSED' && (!breaker.since || now.getTime() - breaker.since.getTime() > windowMs)
  const failures = fresh ? 1 : breaker.failures + 1
  const since = fresh ? now : breaker.since
  if (breaker.state === 'OPEN') return { ...breaker, failures }
  if (breaker.state === 'CLOSED' && failures < failuresMax) return { ...breaker, failures, since }
  const waitMs = Math.min(openMsMax, openMs * 2 ** breaker.openings)
  return { state: 'OPEN', failures, since, openings: breaker.openings + 1, retryAt: new Date(now.getTime() + waitMs) }
}

export type Admission =
  | { readonly kind: 'go' }
  /** one trial: whoever changes the row to HALF_OPEN sends it */
  | { readonly kind: 'trial' }
  | { readonly kind: 'wait'; readonly until: Date }

export function admission(breaker: Breaker, now: Date): Admission {
  if (breaker.state === 'CLOSED') return { kind: 'go' }
  if (breaker.retryAt && breaker.retryAt > now) return { kind: 'wait', until: breaker.retryAt }
  return { kind: 'trial' }
}
