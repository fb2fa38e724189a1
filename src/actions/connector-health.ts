import { statements } from '../database/statements.ts'
import type { RateLimit } from '../cache/cache.ts'
import type { Queryable } from '../database/database.ts'
import type { LaneHead } from './action-row.ts'
import { type Breaker, admission, afterFailure, closedBreaker, trialMs } from '../kernel/breaker.ts'
import { type RateDeps, takeTurn } from './connector-rate.ts'
import type { Outcome, Probe } from './target.ts'

const sql = statements(import.meta.url, './connector-health.sql', [
  'pause',
  'startTrial',
  'lockBreaker',
  'storeBreaker',
])

export type Gate =
  | { readonly kind: 'go'; readonly waitMs: number }
  /** own: the action's row is to say until when; else the connector's row does */
  | { readonly kind: 'wait'; readonly until: Date; readonly reason: string; readonly own: boolean }

/** May the connector be called, and when? Takes a slot where calls are limited, and the one trial where the breaker is half open. */
export async function enterConnector(
  { db, ...rate }: RateDeps & { readonly db: Queryable },
  head: LaneHead,
  limits: readonly RateLimit[],
  now: Date,
): Promise<Gate> {
  const admitted = admission(breakerOf(head), now)
  if (admitted.kind === 'wait') return waitFor(head, admitted.until)
  const pausedUntil = head.breaker_next_at
  if (pausedUntil && pausedUntil > now) {
    return { kind: 'wait', until: pausedUntil, reason: `waiting: ${head.connector} limits the rate`, own: false }
  }
  const turn = await takeTurn(rate, head.connector, limits)
  if (turn.kind === 'back') {
    const until = new Date(now.getTime() + Math.ceil(turn.waitMs))
    return { kind: 'wait', until, reason: turn.reason, own: true }
  }
  if (admitted.kind === 'trial') {
    const until = new Date(now.getTime() + turn.waitMs + trialMs)
    const { count } = await db.query(sql.startTrial, [breakerName(head.connector), now, until])
    if (count === 0) return waitFor(head, until)
  }
  return turn
}

/** What a call says about the connector, in the transaction that stores its outcome. @returns the breaker if this call opened it */
export async function noteConnector(
  tx: Queryable,
  head: LaneHead,
  answer: Outcome | Probe,
  now: Date,
): Promise<Breaker | null> {
  const name = breakerName(head.connector)
  const limitedMs = rateLimitMs(answer)
  if (limitedMs > 0) await tx.query(sql.pause, [name, new Date(now.getTime() + limitedMs), reasonIn(answer)])
  if (!isFailure(answer)) {
    const known = breakerOf(head)
    if (known.state !== 'CLOSED' || known.failures > 0) await store(tx, name, closedBreaker, now, null)
    return null
  }
  const { rows } = await tx.query<BreakerRow>(sql.lockBreaker, [name])
  const row = rows[0]
  const before: Breaker = row ? { ...row, retryAt: row.retry_at } : closedBreaker
  const after = afterFailure(before, now)
  await store(tx, name, after, now, reasonIn(answer))
  return after.state === 'OPEN' && before.state !== 'OPEN' ? after : null
}

interface BreakerRow extends Omit<Breaker, 'retryAt'> {
  readonly retry_at: Date | null
}

async function store(tx: Queryable, name: string, breaker: Breaker, now: Date, error: string | null): Promise<void> {
  const { state, failures, since, openings, retryAt } = breaker
  await tx.query(sql.storeBreaker, [
    name,
    state,
    failures,
    since,
    openings,
    retryAt,
    state === 'OPEN' ? now : null,
    error,
    now,
  ])
}

/** Unknown outcomes and lost connections count; an answer of any kind, also a refusal or a limit, shows that the system lives. */
function isFailure(answer: Outcome | Probe): boolean {
  return answer.kind === 'unknown' || (answer.kind === 'not-done' && !answer.rateLimited)
}

function rateLimitMs(answer: Outcome | Probe): number {
  return answer.kind === 'not-done' && answer.rateLimited ? answer.retryAfterMs : 0
}

function reasonIn(answer: Outcome | Probe): string | null {
  return 'reason' in answer ? answer.reason : null
}

function waitFor(head: LaneHead, until: Date): Gate {
  return { kind: 'wait', until, reason: `waiting: ${head.connector} is failing, the next trial is soon`, own: false }
}

function breakerOf(head: LaneHead): Breaker {
  return {
    state: head.breaker_state ?? 'CLOSED',
    failures: head.breaker_failures ?? 0,
    since: head.breaker_since,
    openings: head.breaker_openings ?? 0,
    retryAt: head.breaker_retry_at,
  }
}

function breakerName(connector: string): string {
  return `connector:${connector}`
}
