import type { Clock } from '../../kernel/clock.ts'
import { assertNever } from '../../kernel/assert-never.ts'
import { topics } from '../../kernel/topics.ts'
import type { DeadLetter } from '../bus.ts'
import type { Claim, Claimed, ClaimStore, Outcome, Settled } from '../claims.ts'
import { priorityOf, rankOf } from '../message-rules.ts'
import type { Group, MemoryLog, Open } from './memory-log.ts'

interface Handle {
  readonly position: number
  readonly claim: number
}

export interface MemoryClaimsDeps {
  readonly log: MemoryLog
  readonly group: Group
  readonly leaseMs: number
  readonly clock: Clock
  readonly publishDead: (id: string, lane: number, letter: DeadLetter) => void
  /** Throws while the store is said to be lost. */
  readonly reach: () => void
}

export class MemoryClaims implements ClaimStore<Handle> {
  readonly #deps: MemoryClaimsDeps

  constructor(deps: MemoryClaimsDeps) {
    this.#deps = deps
  }

  onWake(wake: () => void): () => void {
    return this.#deps.log.onWake(wake)
  }

  async claim(max: number): Promise<Claimed<Handle>> {
    const { log, group, leaseMs } = this.#deps
    await this.#reached()
    const nowMs = this.#nowMs()
    this.#promote(nowMs)
    const all = [...group.open.values()]
    const busy = new Set(all.filter((open) => open.state === 'claimed').map(orderKey))
    const heads = new Map<string, number>()
    for (const open of all) {
      const key = orderKey(open)
      heads.set(key, Math.min(heads.get(key) ?? Infinity, open.entry.position))
    }
    const ready = all
      .filter((open) => open.state === 'ready')
      .filter(
        (open) =>
          open.entry.key === null || (heads.get(orderKey(open)) === open.entry.position && !busy.has(orderKey(open))),
      )
      .sort((a, b) => rank(a) - rank(b) || a.entry.position - b.entry.position)
      .slice(0, max)
    const claims = ready.map((open) => {
      Object.assign(open, { state: 'claimed', dueMs: nowMs + leaseMs, claim: log.nextClaim() })
      open.attempts += 1
      return claimOf(open)
    })
    const dues = all.filter((open) => open.state !== 'ready').map((open) => open.dueMs - nowMs)
    return { claims, nextDueMs: dues.length === 0 ? null : Math.min(...dues) }
  }

  async extend(claims: readonly Claim<Handle>[]): Promise<readonly Claim<Handle>[]> {
    await this.#reached()
    const dueMs = this.#nowMs() + this.#deps.leaseMs
    return claims.filter((claim) => {
      const open = this.#held(claim)
      if (open) open.dueMs = dueMs
      return !open
    })
  }

  async settle(outcomes: readonly Outcome<Handle>[]): Promise<Settled> {
    await this.#reached()
    let settled = 0
    for (const outcome of outcomes) {
      const open = this.#held(outcome.claim)
      if (!open) continue
      settled += 1
      this.#apply(open, outcome)
    }
    this.#deps.log.wakeAll()
    return { settled, ready: settled }
  }

  async settleAndClaim(outcomes: readonly Outcome<Handle>[], max: number): Promise<Settled & Claimed<Handle>> {
    return { ...(await this.settle(outcomes)), ...(await this.claim(max)) }
  }

  #apply(open: Open, outcome: Outcome<Handle>): void {
    const { group, publishDead } = this.#deps
    switch (outcome.kind) {
      case 'ack':
        group.open.delete(open.entry.position)
        return
      case 'release':
        open.attempts -= 1
        open.state = 'ready'
        return
      case 'return':
        this.#remember(open, outcome.reason)
        open.state = outcome.delayMs > 0 ? 'delayed' : 'ready'
        open.dueMs = this.#nowMs() + outcome.delayMs
        return
      case 'dead': {
        const { id, topic, lane, body } = open.entry
        this.#remember(open, outcome.reason)
        group.open.delete(open.entry.position)
        if (topic === topics.dead) return
        const { attempts, history } = open
        const { reason } = outcome
        publishDead(id, lane, {
          topic,
          group: group.name,
          id,
          reason,
          attempts,
          history,
          body: JSON.parse(body) as unknown,
        })
        return
      }
      default:
        assertNever(outcome)
    }
  }

  #promote(nowMs: number): void {
    for (const open of this.#deps.group.open.values()) {
      if (open.state === 'ready' || open.dueMs > nowMs) continue
      if (open.state === 'claimed') this.#remember(open, 'the claim lapsed')
      Object.assign(open, { state: 'ready', claim: 0 })
    }
  }

  #remember(open: Open, reason: string): void {
    open.history.push({ attempt: open.attempts, at: this.#deps.clock.now().toISOString(), reason })
    if (open.history.length > 10) open.history.shift()
  }

  #held({ handle }: Claim<Handle>): Open | undefined {
    const open = this.#deps.group.open.get(handle.position)
    return open?.state === 'claimed' && open.claim === handle.claim ? open : undefined
  }

  #nowMs(): number {
    return this.#deps.clock.now().getTime()
  }

  /** Yields, as a store would. */
  async #reached(): Promise<void> {
    await Promise.resolve()
    this.#deps.reach()
  }
}

function claimOf({ entry, attempts, claim }: Open): Claim<Handle> {
  const { id, topic, key, lane, body, publishedAt, position } = entry
  return {
    handle: { position, claim },
    body,
    delivery: { id, topic, key, priority: priorityOf(lane), attempt: attempts, publishedAt },
  }
}

function orderKey({ entry }: Open): string {
  return entry.key === null ? `\0${entry.position}` : `${entry.topic}\n${entry.key}`
}

function rank({ entry }: Open): number {
  return rankOf(entry.lane, entry.notBefore ?? entry.publishedAt)
}
