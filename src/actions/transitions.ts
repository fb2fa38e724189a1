import { backoffMs } from '../kernel/backoff.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Outcome, Probe } from './target.ts'

export interface Attempt {
  /** this one included */
  readonly attempts: number
  /** probes before this one */
  readonly probes: number
  readonly sentAt: Date
  readonly expiresAt: Date
  readonly probeAfterMs: readonly number[]
  readonly now: Date
  /** in [0, 1) */
  readonly random: number
}

/** What an action becomes. */
export interface Transition {
  readonly state: 'SUCCEEDED' | 'RETRY' | 'READY' | 'AMBIGUOUS' | 'PARKED' | 'FAILED' | 'EXPIRED'
  readonly reason: string
  readonly nextAt: Date
  readonly probes: number
  readonly confirmedBy: 'response' | 'probe' | null
  readonly remote: { readonly id: string; readonly url: string | null; readonly detail: JsonObject } | null
}

export const attemptsMax = 8
/** Waiting for a limit to pass is not failing; still, nothing waits for ever. */
const limitedAttemptsMax = 30
const undecidedProbesMax = 5
export const retryBackoff = { baseMs: 1_000, maxMs: 15 * 60_000 } as const

/** After a call (edges 3.1): done, certainly not done, refused for good, or in doubt. */
export function afterCall(outcome: Outcome, attempt: Attempt): Transition {
  switch (outcome.kind) {
    case 'done':
      return succeeded('response', outcome, attempt)
    case 'rejected':
      return over('FAILED', outcome.reason, attempt)
    case 'unknown': {
      const nextAt = probeAt(attempt, 0)
      return { ...still(attempt), state: 'AMBIGUOUS', reason: `in doubt: ${outcome.reason}`, nextAt, probes: 0 }
    }
    case 'not-done': {
      const max = outcome.rateLimited ? limitedAttemptsMax : attemptsMax
      if (attempt.attempts >= max)
        return over('FAILED', `given up after ${attempt.attempts} tries: ${outcome.reason}`, attempt)
      const waitMs = backoffMs(attempt.attempts, retryBackoff, attempt.random, outcome.retryAfterMs)
      const nextAt = new Date(attempt.now.getTime() + waitMs)
      if (nextAt >= attempt.expiresAt)
        return over('EXPIRED', `no time left for another try: ${outcome.reason}`, attempt)
      return { ...still(attempt), state: 'RETRY', reason: outcome.reason, nextAt }
    }
  }
}

/** After looking for what an unanswered call may have made. Only absence that outlasts the target's lag allows another call. */
export function afterProbe(probe: Probe, attempt: Attempt): Transition {
  const probes = attempt.probes + 1
  switch (probe.kind) {
    case 'found':
      return succeeded('probe', probe, attempt)
    case 'absent': {
      if (probes < attempt.probeAfterMs.length) {
        const nextAt = probeAt(attempt, probes)
        return { ...still(attempt), state: 'AMBIGUOUS', reason: 'not there yet; looking again', nextAt, probes }
      }
      if (attempt.attempts >= attemptsMax)
        return over('FAILED', `given up after ${attempt.attempts} tries, none of which arrived`, attempt)
      return {
        ...still(attempt),
        state: 'READY',
        reason: 'it never arrived; calling again',
        nextAt: attempt.now,
        probes: 0,
      }
    }
    case 'unknown': {
      const decidable = probes < attempt.probeAfterMs.length + undecidedProbesMax
      const reason = `in doubt, and looking gave no answer: ${probe.reason}`
      if (!decidable) return { ...over('PARKED', `${reason}; a person must look`, attempt), probes }
      const waitMs = backoffMs(probes + 2, retryBackoff, attempt.random, probe.retryAfterMs)
      return { ...still(attempt), state: 'AMBIGUOUS', reason, nextAt: new Date(attempt.now.getTime() + waitMs), probes }
    }
  }
}

/** The worker died in the middle of a call: nobody knows whether it was sent. */
export function afterLapse(attempt: Attempt): Transition {
  return {
    ...still(attempt),
    state: 'AMBIGUOUS',
    reason: 'in doubt: the worker stopped in the middle of the call',
    nextAt: probeAt(attempt, 0),
    probes: 0,
  }
}

function probeAt(attempt: Attempt, probes: number): Date {
  const lagMs = attempt.probeAfterMs[Math.min(probes, attempt.probeAfterMs.length - 1)] ?? 0
  return new Date(Math.max(attempt.now.getTime(), attempt.sentAt.getTime() + lagMs))
}

function succeeded(
  by: 'response' | 'probe',
  made: { readonly remoteId: string; readonly url: string | null; readonly detail: JsonObject },
  attempt: Attempt,
): Transition {
  const reason = by === 'response' ? 'done' : 'done: found by looking'
  const remote = { id: made.remoteId, url: made.url, detail: made.detail }
  return { ...still(attempt), state: 'SUCCEEDED', reason, confirmedBy: by, remote }
}

function over(state: 'FAILED' | 'EXPIRED' | 'PARKED', reason: string, attempt: Attempt): Transition {
  return { ...still(attempt), state, reason }
}

function still(attempt: Attempt): Pick<Transition, 'nextAt' | 'probes' | 'confirmedBy' | 'remote'> {
  return { nextAt: attempt.now, probes: attempt.probes, confirmedBy: null, remote: null }
}
