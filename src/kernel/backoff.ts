export interface BackoffPolicy {
  readonly baseMs: number
  readonly maxMs: number
}

/**
 * Exponential with half jitter: `min(maxMs, baseMs · 2^(attempt-1)) · U(0.5, 1)`, never below what the other side asked for.
 * @param attempt 1 for the wait after the first failure
 * @param random in [0, 1)
 */
export function backoffMs(attempt: number, policy: BackoffPolicy, random: number, retryAfterMs = 0): number {
  const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt - 1, 30))
  return Math.max(Math.min(retryAfterMs, 24 * 3_600_000), Math.round(ceiling * (0.5 + random / 2)))
}
