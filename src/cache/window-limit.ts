import { type CallRate, spanName } from '../kernel/call-rate.ts'
import type { RateLimit } from './cache.ts'

/** What may go out at once of a limit that has rested. */
const burstShare = 0.1

/**
 * A limit that never lets more than `calls` through in any span of `perMs`, as vendors count. A bucket of `calls` that is refilled at
 * `calls` per span would allow nearly twice that: so a tenth may go at once, and the rest is spread.
 * @param name `github` makes `ratelimit:github:minute`
 */
export function windowLimit(name: string, { calls, perMs }: CallRate): RateLimit {
  const burst = Math.max(1, Math.floor(calls * burstShare))
  return { key: `ratelimit:${name}:${spanName(perMs)}`, rate: calls - burst + 1, periodMs: perMs, burst }
}
