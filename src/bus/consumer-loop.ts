import { backoffMs } from '../kernel/backoff.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Delivery, Handler, Subscription } from './bus.ts'
import type { Claim, Claimed, ClaimStore, Outcome, Settled } from './claims.ts'
import { failed, rejected, resolved, type OutcomeRules } from './outcomes.ts'

export interface ConsumerLoopDeps {
  readonly subscription: Required<Subscription>
  readonly store: ClaimStore
  readonly handle: Handler
  readonly clock: Clock
  readonly log: Log
}

interface Batch {
  readonly claims: readonly Claim[]
  readonly stop: AbortController
}

const storeRetry = { baseMs: 100, maxMs: 10_000 }
/** A consumer that leaves does not wait for a lost store for ever: what it could not settle is delivered again. */
const leavingAttemptsMax = 5

/**
 * One consumer of one group: claims, hands out, settles. One call to the store at a time, so that outcomes that arrive during a call
 * are settled together by the next one.
 */
export class ConsumerLoop {
  readonly #deps: ConsumerLoopDeps
  readonly #running = new Set<Batch>()
  #outcomes: Outcome[] = []
  #mayClaim = true
  #nextDueMs: number | null = null
  #failures = 0
  #nudged = false
  #nudge: () => void = () => undefined

  constructor(deps: ConsumerLoopDeps) {
    this.#deps = deps
  }

  /** Resolves once `signal` has aborted and every handler has settled. Once only. */
  async run(signal: AbortSignal): Promise<void> {
    const leave = () => this.#leave(signal)
    signal.addEventListener('abort', leave, { once: true })
    const done = new AbortController()
    const keeper = this.#keepClaims(done.signal)
    const stopWakes = this.#deps.store.onWake(() => {
      this.#mayClaim = true
      this.#wakeUp()
    })
    try {
      await this.#turns(signal)
    } finally {
      stopWakes()
      signal.removeEventListener('abort', leave)
      done.abort()
      await keeper
    }
  }

  async #turns(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        if (!signal.aborted && this.#mayClaim && this.#outcomes.length > 0) await this.#settleAndClaim(signal)
        else {
          await this.#settle(signal.aborted)
          if (!signal.aborted) await this.#claim(signal)
        }
        this.#failures = 0
      } catch (error) {
        this.#failures += 1
        const { topic, group } = this.#deps.subscription
        this.#deps.log.warn({ topic, group, failures: this.#failures, why: reasonOf(error) }, 'bus not reachable')
        if (signal.aborted && this.#failures >= leavingAttemptsMax) this.#outcomes = []
        await this.#pause(signal)
        continue
      }
      if (this.#outcomes.length > 0) continue
      if (signal.aborted) {
        if (this.#running.size === 0) return
      } else if (this.#mayClaim && this.#free() > 0) continue
      await this.#nudgeOrDue()
    }
  }

  async #settle(leaving: boolean): Promise<void> {
    if (this.#outcomes.length === 0) return
    await this.#settling(async (outcomes) => {
      const answer = await this.#deps.store.settle(outcomes, leaving)
      if (answer.ready > 0) this.#mayClaim = true
      this.#settled(outcomes, answer)
    })
  }

  async #settleAndClaim(signal: AbortSignal): Promise<void> {
    await this.#settling(async (outcomes) => {
      // What is settled takes no room any more.
      const free = this.#free()
      await this.#claiming(free, signal, async () => {
        const answer = await this.#deps.store.settleAndClaim(outcomes, free)
        this.#settled(outcomes, answer)
        return answer
      })
    })
  }

  /** What could not be settled is settled with the next. */
  async #settling(work: (outcomes: readonly Outcome[]) => Promise<void>): Promise<void> {
    const outcomes = this.#outcomes
    this.#outcomes = []
    try {
      await work(outcomes)
    } catch (error) {
      this.#outcomes = [...outcomes, ...this.#outcomes]
      throw error
    }
  }

  #settled(outcomes: readonly Outcome[], { settled }: Settled): void {
    this.#expectReturned(outcomes)
    if (settled === outcomes.length) return
    const { topic, group } = this.#deps.subscription
    this.#deps.log.warn({ topic, group, lost: outcomes.length - settled }, 'claims were lost before they were settled')
  }

  /** Back before the last claim knew of anything due. */
  #expectReturned(outcomes: readonly Outcome[]): void {
    const nowMs = this.#deps.clock.now().getTime()
    for (const outcome of outcomes) {
      if (outcome.kind !== 'return') continue
      this.#nextDueMs = Math.min(this.#nextDueMs ?? Infinity, nowMs + outcome.delayMs)
    }
  }

  async #claim(signal: AbortSignal): Promise<void> {
    const free = this.#free()
    if (!this.#mayClaim || free <= 0) return
    await this.#claiming(free, signal, () => this.#deps.store.claim(free))
  }

  async #claiming(free: number, signal: AbortSignal, ask: () => Promise<Claimed>): Promise<void> {
    const { clock, subscription } = this.#deps
    this.#mayClaim = false
    const asked = clock.now().getTime()
    let claimed
    try {
      claimed = await ask()
    } catch (error) {
      this.#mayClaim = true
      throw error
    }
    const { claims, nextDueMs } = claimed
    if (claims.length >= free || nextDueMs === 0) this.#mayClaim = true
    this.#nextDueMs = nextDueMs === null ? null : asked + Math.max(1, nextDueMs)
    for (let from = 0; from < claims.length; from += subscription.batchMax) {
      this.#begin(claims.slice(from, from + subscription.batchMax), signal)
    }
  }

  #begin(claims: readonly Claim[], signal: AbortSignal): void {
    if (signal.aborted) {
      this.#outcomes.push(...claims.map((claim) => ({ claim, kind: 'release' as const })))
      return
    }
    const batch: Batch = { claims, stop: new AbortController() }
    this.#running.add(batch)
    void this.#runBatch(batch, signal)
  }

  async #runBatch(batch: Batch, signal: AbortSignal): Promise<void> {
    const outcomes = await this.#handle(batch, signal)
    this.#outcomes.push(...outcomes)
    this.#running.delete(batch)
    this.#wakeUp()
  }

  /** Never rejects: whatever happens to a batch is an outcome. */
  async #handle({ claims, stop }: Batch, signal: AbortSignal): Promise<readonly Outcome[]> {
    const rules = { attemptsMax: this.#deps.subscription.attemptsMax, random: Math.random() }
    const { whole, outcomes } = unpack(claims, rules)
    if (whole.length === 0) return outcomes
    const handled = whole.map(({ claim }) => claim)
    try {
      const nacks = await this.#deps.handle(
        whole.map(({ delivery }) => delivery),
        stop.signal,
      )
      outcomes.push(...resolved(handled, nacks ?? [], rules))
    } catch (error) {
      const { topic, group } = this.#deps.subscription
      if (signal.aborted && gaveUp(error, stop.signal)) {
        outcomes.push(...handled.map((claim) => ({ claim, kind: 'release' as const })))
      } else {
        const ids = handled.slice(0, 10).map((claim) => claim.delivery.id)
        this.#deps.log.warn({ topic, group, ids, why: reasonOf(error) }, 'handler failed, messages return')
        outcomes.push(...rejected(handled, error, rules))
      }
    }
    return outcomes
  }

  /** Three extensions a lease: one may fail. */
  async #keepClaims(done: AbortSignal): Promise<void> {
    const { store, clock, log, subscription } = this.#deps
    for (;;) {
      await clock.sleep(Math.max(1, Math.floor(subscription.leaseMs / 3)), done)
      if (done.aborted) return
      const batches = [...this.#running]
      if (batches.length === 0) continue
      try {
        const lost = new Set(await store.extend(batches.flatMap((batch) => batch.claims)))
        if (lost.size === 0) continue
        for (const batch of batches) {
          const claim = batch.claims.find((held) => lost.has(held))
          // Settled while the call was under way: not lost.
          if (claim && this.#running.has(batch)) {
            batch.stop.abort(new GuildError('GUILD_LEASE_LOST', { id: claim.delivery.id }))
          }
        }
      } catch (error) {
        log.warn({ topic: subscription.topic, group: subscription.group, why: reasonOf(error) }, 'claims not extended')
      }
    }
  }

  #free(): number {
    let held = this.#outcomes.length
    for (const batch of this.#running) held += batch.claims.length
    return this.#deps.subscription.maxInFlight - held
  }

  #leave(signal: AbortSignal): void {
    for (const batch of this.#running) batch.stop.abort(signal.reason)
    this.#wakeUp()
  }

  #wakeUp(): void {
    this.#nudged = true
    this.#nudge()
  }

  /** Until a wake, an outcome, the abort, or the instant the next delayed message is due. */
  async #nudgeOrDue(): Promise<void> {
    if (!this.#nudged) {
      const nudge = new Promise<void>((resolve) => {
        this.#nudge = resolve
      })
      const enough = new AbortController()
      const due = this.#nextDueMs !== null && this.#free() > 0 ? [this.#due(this.#nextDueMs, enough.signal)] : []
      await Promise.race([nudge, ...due])
      enough.abort('over') // no error with a stack of it
    }
    this.#nudged = false
  }

  async #due(atMs: number, enough: AbortSignal): Promise<void> {
    const { clock } = this.#deps
    await clock.sleep(Math.max(0, atMs - clock.now().getTime()), enough)
    if (!enough.aborted) this.#mayClaim = true
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const waitMs = backoffMs(this.#failures, storeRetry, Math.random())
    if (!signal.aborted) await this.#deps.clock.sleep(waitMs, signal)
    else await this.#deps.clock.sleep(Math.min(waitMs, storeRetry.baseMs))
  }
}

/** Bodies are read one by one, so that one that cannot be read spoils no other. */
function unpack(claims: readonly Claim[], rules: OutcomeRules) {
  const whole: { claim: Claim; delivery: Delivery }[] = []
  const outcomes: Outcome[] = []
  for (const claim of claims) {
    if (claim.delivery.attempt > rules.attemptsMax) {
      // Each of these deliveries ended with its consumer, so that nobody could count to the maximum.
      outcomes.push(failed(claim, { reason: 'no consumer lived to answer', dead: true }, rules))
      continue
    }
    try {
      whole.push({ claim, delivery: { ...claim.delivery, body: JSON.parse(claim.body) as unknown } })
    } catch (error) {
      outcomes.push(failed(claim, { reason: `the body cannot be read: ${reasonOf(error)}` }, rules))
    }
  }
  return { whole, outcomes }
}

function gaveUp(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && error.name === 'AbortError')
}
