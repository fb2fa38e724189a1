import type { Outbox } from '../bus/outbox.ts'
import type { Codex } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { concatenated, gathered, mergeable } from '../database/gathered.ts'
import type { Sweeps } from '../database/sweep-log.ts'
import { statements } from '../database/statements.ts'
import type { Redactor } from '../guards/privacy/redact.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Tracer } from '../traces/tracer.ts'
import type { LaneHead } from './action-row.ts'
import { enterConnector } from './connector-health.ts'
import { connectorLimits, paceLimits, type RateDeps } from './connector-rate.ts'
import { judge } from './judge.ts'
import { ActionMoves } from './moves.ts'
import { type Compared, compared } from './drift.ts'
import {
  type ActionCall,
  type Comparison,
  createWithinMs,
  type Outcome,
  type Probe,
  type RenderedRequest,
  type Target,
} from './target.ts'
import { type Attempt, afterCall, afterLapse, afterProbe } from './transitions.ts'

const plain = statements(import.meta.url, './lanes.sql', [
  'laneHead',
  'laneHeadMany',
  'lockLane',
  'claimCall',
  'claimCallMany',
  'claimProbe',
])
/** Many lanes are worked on at once. */
const sql = {
  ...plain,
  laneHead: gathered(plain.laneHead, plain.laneHeadMany),
  lockLane: mergeable(plain.lockLane, concatenated),
  claimCall: gathered(plain.claimCall, plain.claimCallMany),
}

export interface ActionExecutorDeps extends RateDeps {
  readonly db: Database
  readonly outbox: Outbox
  readonly codex: Pick<Codex, 'current'>
  /** the target that serves a connector; null: nothing is configured for it */
  readonly targetOf: (connector: string) => Target | null
  /** connectors or systems named by GUILD_LIVE; everything else is in shadow unless the Codex says `mode: live` */
  readonly live: readonly string[]
  readonly redactor?: Redactor
  /** this process, in leases */
  readonly owner: string
  readonly clock: Clock
  /** nothing is sent, whatever the Codex says */
  readonly dryRun?: boolean
  readonly tracer?: Tracer
  readonly sweeps?: Sweeps
  /** lanes worked on at once; default 16 */
  readonly maxInFlight?: number
  /** in [0, 1), for jitter; default Math.random */
  readonly random?: () => number
}

/** What a dead worker had in hand is looked up after so long: everything it has begun is to go on within 30 s. */
const leaseMs = 21_000
/** A call ends well before its lease does, and what creates is not even begun in its second half. */
const callMs = 18_000
/** At shutdown a call in flight may end by itself for so long; then it is cut off and probed at the next start. */
const graceMs = 3_000
/** A lane is handed back after so many actions, so that one busy target does not hold a worker for ever. */
const stepsMax = 200

/**
 * Carries out actions, one lane per (connector, target): oldest first, one in flight, over all processes. The order of things is that
 * of edges 3.1: intent is stored before the call, the outcome after it, and an outcome nobody knows is looked up, never repeated.
 */
export class ActionLanes {
  readonly #deps: ActionExecutorDeps
  readonly #moves: ActionMoves
  /** Told when something becomes due that no message will announce. */
  onDue: (at: Date) => void = () => undefined

  constructor(deps: ActionExecutorDeps) {
    this.#deps = deps
    this.#moves = new ActionMoves(deps)
  }

  /** Works off the lane of an action until it is empty, waits for something, or another worker has it. */
  async drain(actionId: string, signal: AbortSignal): Promise<void> {
    for (let steps = 0; steps < stepsMax && !signal.aborted; steps += 1) {
      const { rows } = await this.#deps.db.query<LaneHead>(sql.laneHead, [actionId])
      const [head] = rows
      if (!head) return
      const due = await this.#step(head, signal)
      if (due === 'again') continue
      this.onDue(due)
      return
    }
  }

  /** @returns `again`: look at the lane anew; else when it will be due */
  async #step(head: LaneHead, signal: AbortSignal): Promise<'again' | Date> {
    const now = this.#deps.clock.now()
    switch (head.state) {
      case 'EXECUTING':
      case 'PROBING':
        if (head.lease_until && head.lease_until > now) return head.lease_until
        await this.#moves.lapse(head, afterLapse(this.#attempt(head, now)), now)
        return 'again'
      case 'AMBIGUOUS':
        return head.next_at > now ? head.next_at : this.#probe(head, signal)
      case 'HELD':
        return head.next_at > now ? head.next_at : this.#moves.release(head, now)
      case 'READY':
      case 'RETRY':
        return head.next_at > now ? head.next_at : this.#carryOut(head, signal)
    }
  }

  async #carryOut(head: LaneHead, signal: AbortSignal): Promise<'again' | Date> {
    const now = this.#deps.clock.now()
    if (head.expires_at <= now) return this.#moves.end(head, 'EXPIRED', 'its time ran out', now)
    const verdict = await judge(this.#deps.db, head, this.#deps)
    if (verdict.kind === 'deny') return this.#moves.end(head, 'DENIED', verdict.reason, now, verdict.rule)
    if (verdict.kind === 'ask') return this.#moves.ask(head, verdict.reason, verdict.rule, now)

    const target = this.#deps.targetOf(head.connector)
    if (!target)
      return this.#moves.end(head, 'FAILED', `no target is configured for the connector ${head.connector}`, now)
    const rendered = await this.#render(target, head, now)
    if (rendered.kind === 'failed') return this.#moves.end(head, 'FAILED', rendered.reason, now)
    if (verdict.shadow) return this.#moves.shadow(head, rendered.request, now)
    return this.#call(head, target, rendered.request, signal)
  }

  async #render(target: Target, head: LaneHead, now: Date): Promise<Rendered> {
    try {
      return { kind: 'rendered', request: await target.render(callOf(head, now)) }
    } catch (error) {
      return { kind: 'failed', reason: `it cannot be rendered: ${reasonOf(error)}` }
    }
  }

  async #call(head: LaneHead, target: Target, request: RenderedRequest, signal: AbortSignal): Promise<'again' | Date> {
    const { clock, codex } = this.#deps
    const limits = connectorLimits(head.connector, codex.current().connectors.get(head.connector), target)
    const gate = await enterConnector(this.#deps, head, limits, clock.now())
    if (gate.kind === 'wait') return this.#moves.wait(head, gate)
    await clock.sleep(gate.waitMs, signal)
    if (signal.aborted) return clock.now()

    const seen = await this.#compare(target, head, signal)
    if (seen.kind === 'unknown') {
      const { retryAfterMs } = seen
      const reason = `the target cannot be looked at: ${seen.reason}`
      const outcome = { kind: 'not-done', rateLimited: false, reason, retryAfterMs } as const
      const attempt = this.#attempt(head, clock.now())
      return this.#moves.settle(
        head,
        afterCall(outcome, { ...attempt, attempts: attempt.attempts + 1 }),
        outcome,
        clock.now(),
      )
    }
    if (seen.kind === 'drifted') return this.#moves.ask(head, seen.reason, 'drift', clock.now(), seen.comparison)

    const sentAt = clock.now()
    const claimed = await this.#claim(head, sentAt, request, seen.comparison)
    if (!claimed) return 'again'
    const outcome = await this.#execute(target, { ...callOf(head, sentAt) }, signal)
    const now = clock.now()
    const attempt = { ...this.#attempt(head, now), attempts: claimed.attempts, sentAt }
    const inHand = {
      ...head,
      state: 'EXECUTING',
      lease_epoch: claimed.lease_epoch,
      attempts: claimed.attempts,
      sent_at: sentAt,
    } as const
    return this.#moves.settle(inHand, afterCall(outcome, attempt), outcome, now)
  }

  /** Looks at the target where a decision was made on what it was, or where taking back needs it. */
  async #compare(target: Target, head: LaneHead, signal: AbortSignal): Promise<Compared> {
    const call = callOf(head, this.#deps.clock.now())
    const kept = head.before === null && target.types.find(({ type }) => type === head.type)?.keepsBefore?.(call)
    if (head.expected === null && kept !== true) return { kind: 'same', comparison: null }
    const limit = limited(signal)
    try {
      const look = await target.look(call, limit.signal)
      if (look.kind !== 'seen') return look.kind === 'unknown' ? look : { kind: 'same', comparison: null }
      return compared(head.expected, look.comparison)
    } catch (error) {
      return { kind: 'unknown', reason: reasonOf(error), retryAfterMs: 0 }
    } finally {
      limit.stop()
    }
  }

  /** Intent first: after this commit a crash is a call in doubt, before it nothing has happened. */
  async #claim(head: LaneHead, sentAt: Date, request: RenderedRequest, seen: Comparison | null): Promise<Claim | null> {
    const until = new Date(sentAt.getTime() + leaseMs)
    return this.#deps.db.transaction(async (tx) => {
      const params = [head.id, head.lease_epoch, this.#deps.owner, until, sentAt, JSON.stringify(request)]
      const states = [seen && JSON.stringify(seen.before), seen && JSON.stringify(seen.after)]
      // In one breath: the second begins when the lock is ours.
      const [, { rows }] = await Promise.all([
        tx.query(sql.lockLane, [[head.connector], [head.target]]),
        tx.query<Claim>(sql.claimCall, [...params, ...states]),
      ])
      return rows[0] ?? null
    })
  }

  async #execute(target: Target, call: ActionCall, signal: AbortSignal): Promise<Outcome> {
    const limit = limited(signal)
    try {
      return await target.execute(call, limit.signal)
    } catch (error) {
      // A target classifies what the system answers; anything thrown is our own fault, and the call may have gone out.
      this.#deps.log.error({ actionId: call.actionId, error: reasonOf(error) }, 'the target threw')
      return { kind: 'unknown', reason: reasonOf(error) }
    } finally {
      limit.stop()
    }
  }

  async #probe(head: LaneHead, signal: AbortSignal): Promise<'again' | Date> {
    const { clock, db, owner } = this.#deps
    const target = this.#deps.targetOf(head.connector)
    const gate = await enterConnector(this.#deps, head, paceLimits(head.connector, target), clock.now())
    if (gate.kind === 'wait') return this.#moves.wait(head, gate)
    await clock.sleep(gate.waitMs, signal)
    if (signal.aborted) return clock.now()
    const until = new Date(clock.now().getTime() + leaseMs)
    const { rows } = await db.query<Claim>(sql.claimProbe, [head.id, head.lease_epoch, owner, until, clock.now()])
    const [claimed] = rows
    if (!claimed) return 'again'
    const probe = await this.#look(target, head, signal)
    const now = clock.now()
    const inHand = { ...head, state: 'PROBING', lease_epoch: claimed.lease_epoch } as const
    return this.#moves.settle(inHand, afterProbe(probe, this.#attempt(head, now)), probe, now)
  }

  async #look(target: Target | null, head: LaneHead, signal: AbortSignal): Promise<Probe> {
    if (!target) return { kind: 'unknown', reason: `no target is configured for ${head.connector}`, retryAfterMs: 0 }
    const limit = limited(signal)
    const now = this.#deps.clock.now()
    try {
      return await target.probe(callOf(head, now), head.sent_at ?? now, limit.signal)
    } catch (error) {
      return { kind: 'unknown', reason: reasonOf(error), retryAfterMs: 0 }
    } finally {
      limit.stop()
    }
  }

  #attempt(head: LaneHead, now: Date): Attempt {
    return {
      attempts: head.attempts,
      probes: head.probes,
      sentAt: head.sent_at ?? now,
      expiresAt: head.expires_at,
      probeAfterMs: this.#deps.targetOf(head.connector)?.probeAfterMs ?? [0],
      now,
      random: (this.#deps.random ?? Math.random)(),
    }
  }
}

type Rendered =
  | { readonly kind: 'rendered'; readonly request: RenderedRequest }
  | { readonly kind: 'failed'; readonly reason: string }

type CallSource = Pick<LaneHead, 'id' | 'marker' | 'type' | 'agent_id' | 'previous_remote_id' | 'target' | 'args'>

interface Claim {
  readonly lease_epoch: number
  readonly attempts: number
}

/** What a target is told of an action. */
export function callOf(head: CallSource, now: Date): ActionCall {
  return {
    actionId: head.id,
    marker: head.marker,
    type: head.type,
    agentId: head.agent_id,
    previousRemoteId: head.previous_remote_id,
    target: head.target,
    args: head.args,
    notAfter: new Date(now.getTime() + createWithinMs),
  }
}

/** The time limit of a call, and the end of the process's patience after it has been told to stop. */
function limited(stop: AbortSignal): { readonly signal: AbortSignal; readonly stop: () => void } {
  const cut = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const onStop = () => {
    timer = setTimeout(() => cut.abort(), graceMs)
  }
  if (stop.aborted) onStop()
  else stop.addEventListener('abort', onStop, { once: true })
  return {
    signal: AbortSignal.any([cut.signal, AbortSignal.timeout(callMs)]),
    stop: () => {
      clearTimeout(timer)
      stop.removeEventListener('abort', onStop)
    },
  }
}
