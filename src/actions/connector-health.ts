import { statements } from '../database/statements.ts'
import type { Queryable } from '../database/database.ts'
import type { LaneHead } from './action-row.ts'
import { type Breaker, admission, afterFailure, closedBreaker, trialMs } from '../kernel/breaker.ts'
import type { Outcome, Probe } from './target.ts'

const sql = statements(import.meta.url, './connector-health.sql', [
  'takeSlot',
  'pause',
  'startTrial',
  'lockBreaker',
  'storeBreaker',
])

/** How long a worker may wait for its turn with the lane in hand; longer waits are left to the sweeper. */
const slotWaitMaxMs = 30_000

export type Gate =
  { readonly kind: 'go'; readonly at: Date } | { readonly kind: 'wait'; readonly until: Date; readonly reason: string }

/** May the connector be called, and when? Takes a slot where calls are paced, and the one trial where the breaker is half open. */
export async function enterConnector(db: Queryable, head: LaneHead, minIntervalMs: number, now: Date): Promise<Gate> {
  const name = breakerName(head.connector)
  const admitted = admission(breakerOf(head), now)
  if (admitted.kind === 'wait') return waitFor(head, admitted.until)
  const pausedUntil = head.breaker_next_at
  if (minIntervalMs === 0 && pausedUntil && pausedUntil > now) {
    return { kind: 'wait', until: pausedUntil, reason: `waiting: ${head.connector} limits the rate` }
  }
  if (admitted.kind === 'trial') {
    const until = new Date(now.getTime() + trialMs)
    const { count } = await db.query(sql.startTrial, [name, now, until])
    if (count === 0) return waitFor(head, until)
  }
  if (minIntervalMs === 0) return { kind: 'go', at: now }
  const latest = new Date(now.getTime() + slotWaitMaxMs)
  const { rows } = await db.query<{ slot: Date }>(sql.takeSlot, [name, now, minIntervalMs, latest])
  const slot = rows[0]?.slot
  return slot
    ? { kind: 'go', at: slot }
    : { kind: 'wait', until: pausedUntil ?? latest, reason: `waiting: ${head.connector} limits the rate` }
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
  return { kind: 'wait', until, reason: `waiting: ${head.connector} is failing, the next trial is soon` }
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
