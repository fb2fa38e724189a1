import type { Queryable, Statement } from '../../database/database.ts'
import type { Claim, Claimed, ClaimStore, Outcome, Settled } from '../claims.ts'
import { priorityOf } from '../message-rules.ts'
import type { Wakes } from './wakes.ts'

interface Handle {
  readonly position: number
  readonly claim: number
}

interface ClaimRow extends Handle {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly lane: number
  readonly body: string
  readonly publishedAt: Date
  readonly attempt: number
}
type ClaimedRow = { readonly nextDueMs: number | null } & (ClaimRow | { readonly position: null })

export interface PostgresClaimsDeps {
  readonly db: Queryable
  readonly sql: { readonly claim: Statement; readonly extend: Statement; readonly settle: Statement }
  readonly groupId: number
  readonly leaseMs: number
  readonly wakes: Wakes
  /** null: the database's own time, which all processes share */
  readonly now: () => Date | null
  /** So many rows are not needed any more. */
  readonly onSettled: (count: number) => void
}

/** The claims of one consumer: one round trip each. */
export class PostgresClaims implements ClaimStore<Handle> {
  readonly #deps: PostgresClaimsDeps

  constructor(deps: PostgresClaimsDeps) {
    this.#deps = deps
  }

  onWake(wake: () => void): () => void {
    return this.#deps.wakes.add(this.#deps.groupId, wake)
  }

  async claim(max: number): Promise<Claimed<Handle>> {
    const { db, sql, groupId, leaseMs, now } = this.#deps
    const { rows } = await db.query<ClaimedRow>(sql.claim, [groupId, max, leaseMs, now()])
    return {
      claims: rows.flatMap((row) => (row.position === null ? [] : [claimOf(row)])),
      nextDueMs: rows[0]?.nextDueMs ?? null,
    }
  }

  async extend(claims: readonly Claim<Handle>[]): Promise<readonly Claim<Handle>[]> {
    const { db, sql, groupId, leaseMs, now } = this.#deps
    const { rows } = await db.query<{ position: number }>(sql.extend, [
      groupId,
      claims.map(({ handle }) => handle.position),
      claims.map(({ handle }) => handle.claim),
      leaseMs,
      now(),
    ])
    const held = new Set(rows.map((row) => row.position))
    return claims.filter(({ handle }) => !held.has(handle.position))
  }

  async settle(outcomes: readonly Outcome<Handle>[], leaving: boolean): Promise<Settled> {
    const { db, sql, groupId, wakes, now, onSettled } = this.#deps
    const acks = outcomes.filter((outcome) => outcome.kind === 'ack').map(({ claim }) => claim.handle)
    const others = outcomes.filter((outcome) => outcome.kind !== 'ack').map(otherOf)
    const { rows } = await db.query<Settled>(sql.settle, [
      groupId,
      acks.map((handle) => handle.position),
      acks.map((handle) => handle.claim),
      others.length === 0 ? null : JSON.stringify(others),
      leaving,
      now(),
    ])
    const { settled, ready } = rows[0] ?? { settled: 0, ready: 0 }
    onSettled(settled)
    // Another consumer of this process may have more room for what has become ready.
    if (ready > 1 && !leaving) wakes.wake([groupId])
    return { settled, ready }
  }
}

function claimOf(row: ClaimRow): Claim<Handle> {
  const { position, claim, id, topic, key, lane, body, publishedAt, attempt } = row
  return {
    handle: { position, claim },
    body,
    delivery: { id, topic, key, priority: priorityOf(lane), attempt, publishedAt },
  }
}

function otherOf(outcome: Outcome<Handle>): object {
  const { handle } = outcome.claim
  const base = { message: handle.position, claim: handle.claim, kind: outcome.kind, delay_ms: 0 }
  if (outcome.kind === 'return') return { ...base, delay_ms: outcome.delayMs, reason: outcome.reason }
  return outcome.kind === 'dead' ? { ...base, reason: outcome.reason } : base
}
