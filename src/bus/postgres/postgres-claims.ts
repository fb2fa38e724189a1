import type { Param, Queryable, Statement } from '../../database/database.ts'
import type { Claim, Claimed, ClaimStore, Outcome, Settled } from '../claims.ts'
import { priorityOf } from '../message-rules.ts'
import type { Wakes } from './wakes.ts'

interface Handle {
  readonly position: number
  readonly claim: number
  /** Its claim is one row of all that was claimed with it; else it is in the row of the message. */
  readonly held: boolean
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
  readonly sql: Readonly<Record<'claim' | 'extend' | 'settle' | 'settleAndClaim', Statement>>
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
  /** how many of each claim that is one row are not settled yet */
  readonly #open = new Map<number, number>()

  constructor(deps: PostgresClaimsDeps) {
    this.#deps = deps
  }

  onWake(wake: () => void): () => void {
    return this.#deps.wakes.add(this.#deps.groupId, wake)
  }

  async claim(max: number): Promise<Claimed<Handle>> {
    const { db, sql, groupId, leaseMs, now } = this.#deps
    const { rows } = await db.query<ClaimedRow>(sql.claim, [groupId, max, leaseMs, now()])
    return this.#claimed(rows)
  }

  async extend(claims: readonly Claim<Handle>[]): Promise<readonly Claim<Handle>[]> {
    const { db, sql, groupId, leaseMs, now } = this.#deps
    const inRow = claims.filter(({ handle }) => !handle.held)
    const held = new Set(claims.filter(({ handle }) => handle.held).map(({ handle }) => handle.claim))
    const { rows } = await db.query<{ position: number }>(sql.extend, [
      groupId,
      [...held],
      inRow.map(({ handle }) => handle.position),
      inRow.map(({ handle }) => handle.claim),
      leaseMs,
      now(),
    ])
    const kept = new Set(rows.map((row) => row.position))
    return claims.filter(({ handle }) => !kept.has(handle.position))
  }

  async settle(outcomes: readonly Outcome<Handle>[], leaving: boolean): Promise<Settled> {
    const { db, sql, groupId, now } = this.#deps
    const { rows } = await db.query<Settled>(sql.settle, [groupId, ...this.#parted(outcomes), leaving, now()])
    return this.#settled(outcomes, rows[0], leaving)
  }

  async settleAndClaim(outcomes: readonly Outcome<Handle>[], max: number): Promise<Settled & Claimed<Handle>> {
    const { db, sql, groupId, leaseMs, now } = this.#deps
    const params = [groupId, ...this.#parted(outcomes), max, leaseMs, now()]
    const { rows } = await db.query<Settled & ClaimedRow>(sql.settleAndClaim, params)
    return { ...this.#settled(outcomes, rows[0], false), ...this.#claimed(rows) }
  }

  /** As the statements take it: claims that end with it, parts of others, and those in the rows of their messages. */
  #parted(outcomes: readonly Outcome<Handle>[]): readonly Param[] {
    const acked = new Map<number, number>()
    for (const { kind, claim } of outcomes) {
      const { handle } = claim
      if (kind === 'ack' && handle.held) acked.set(handle.claim, (acked.get(handle.claim) ?? 0) + 1)
    }
    const whole = new Set(
      [...acked].filter(([claim, count]) => count === this.#open.get(claim)).map(([claim]) => claim),
    )
    const part: Handle[] = []
    const inRow: Handle[] = []
    for (const { kind, claim } of outcomes) {
      if (kind !== 'ack' || whole.has(claim.handle.claim)) continue
      ;(claim.handle.held ? part : inRow).push(claim.handle)
    }
    const others = outcomes.filter(({ kind }) => kind !== 'ack')
    return [
      [...whole],
      part.map(({ position }) => position),
      part.map(({ claim }) => claim),
      othersOf(others.filter(({ claim }) => claim.handle.held)),
      inRow.map(({ position }) => position),
      inRow.map(({ claim }) => claim),
      othersOf(others.filter(({ claim }) => !claim.handle.held)),
    ]
  }

  #settled(outcomes: readonly Outcome<Handle>[], row: Settled | undefined, leaving: boolean): Settled {
    const { settled, ready } = row ?? { settled: 0, ready: 0 }
    for (const { claim } of outcomes) {
      const { handle } = claim
      const left = (this.#open.get(handle.claim) ?? 0) - 1
      if (left > 0) this.#open.set(handle.claim, left)
      else this.#open.delete(handle.claim)
    }
    this.#deps.onSettled(settled)
    // Another consumer of this process may have more room for what has become ready.
    if (ready > 1 && !leaving) this.#deps.wakes.wake([this.#deps.groupId])
    return { settled, ready }
  }

  #claimed(rows: readonly ClaimedRow[]): Claimed<Handle> {
    const claims = rows.flatMap((row) => (row.position === null ? [] : [claimOf(row)]))
    for (const { handle } of claims) {
      if (handle.held) this.#open.set(handle.claim, (this.#open.get(handle.claim) ?? 0) + 1)
    }
    return { claims, nextDueMs: rows[0]?.nextDueMs ?? null }
  }
}

function claimOf(row: ClaimRow): Claim<Handle> {
  const { position, claim, held, id, topic, key, lane, body, publishedAt, attempt } = row
  return {
    handle: { position, claim, held },
    body,
    delivery: { id, topic, key, priority: priorityOf(lane), attempt, publishedAt },
  }
}

function othersOf(outcomes: readonly Outcome<Handle>[]): string | null {
  return outcomes.length === 0 ? null : JSON.stringify(outcomes.map(otherOf))
}

function otherOf(outcome: Outcome<Handle>): object {
  const { handle } = outcome.claim
  const base = { message: handle.position, claim: handle.claim, kind: outcome.kind, delay_ms: 0 }
  if (outcome.kind === 'return') return { ...base, delay_ms: outcome.delayMs, reason: outcome.reason }
  return outcome.kind === 'dead' ? { ...base, reason: outcome.reason } : base
}
