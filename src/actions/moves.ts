import type { Outbox } from '../bus/outbox.ts'
import type { Database, Queryable } from '../database/database.ts'
import { gathered } from '../database/gathered.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { Tracer } from '../traces/tracer.ts'
import type { LaneHead } from './action-row.ts'
import { moveSpan } from './action-spans.ts'
import { type Gate, noteConnector } from './connector-health.ts'
import { requestApproval } from './approval-requests.ts'
import { type ActionRecord, recordAction } from './records.ts'
import type { Comparison, Outcome, Probe, RenderedRequest } from './target.ts'
import type { Transition } from './transitions.ts'

const plain = statements(import.meta.url, './moves.sql', [
  'move',
  'moveMany',
  'completeRemote',
  'freeMeaning',
  'noteWaiting',
  'endHold',
])
const sql = {
  ...plain,
  move: gathered(plain.move, plain.moveMany, {
    merge: (calls) => [`[${calls.map(([move]) => String(move)).join(',')}]`],
  }),
}

export interface ActionMovesDeps {
  readonly db: Database
  readonly outbox: Outbox
  readonly clock: Clock
  readonly log: Log
  readonly tracer?: Tracer
}

/** Every change of an action in a lane: the row, if it is still ours, with its decision and audit entry, in one transaction. */
export class ActionMoves {
  readonly #deps: ActionMovesDeps

  constructor(deps: ActionMovesDeps) {
    this.#deps = deps
  }

  async settle(head: LaneHead, next: Transition, answer: Outcome | Probe, now: Date): Promise<'again' | Date> {
    const result =
      next.state === 'SUCCEEDED' ? 'SUCCESS' : next.state === 'FAILED' || next.state === 'EXPIRED' ? 'FAILURE' : 'RETRY'
    const moved = await this.#move(head, next, now, { result, answer })
    // Also when our echo was faster: the call was made.
    this.#trace(head, next, now)
    // Our echo, or whoever took the lease over, was faster; what the answer knows is kept all the same.
    if (!moved && next.remote) {
      const { id, url, detail } = next.remote
      await this.#deps.db.query(sql.completeRemote, [head.id, id, url, JSON.stringify(detail)])
    }
    return moved && next.nextAt > now ? next.nextAt : 'again'
  }

  /** Back to its lane: the row says why and, where nothing else does, until when. Told once, however often it has to wait again. */
  async wait(head: LaneHead, { until, reason, own }: Extract<Gate, { kind: 'wait' }>): Promise<Date> {
    await this.#deps.db.transaction(async (tx) => {
      const params = [head.id, reason, head.state, head.lease_epoch, own ? until : null]
      const noted = await tx.query(sql.noteWaiting, params)
      if (noted.count > 0 && reason !== head.reason)
        await this.#record(tx, head, { at: this.#deps.clock.now(), stage: 'action', outcome: 'WAITING', reason })
    })
    return until
  }

  async shadow(head: LaneHead, request: RenderedRequest, now: Date): Promise<'again'> {
    const reason = 'shadow: rendered and recorded, nothing was sent'
    await this.#change(head, { ...plainMove(head, now), state: 'SHADOWED', reason, rendered: request }, now, {
      audit: {
        event_type: 'ACTION_SHADOWED',
        actor: 'system:actions',
        payload: { method: request.method, url: request.url },
      },
    })
    return 'again'
  }

  async end(
    head: LaneHead,
    state: 'EXPIRED' | 'DENIED' | 'FAILED',
    reason: string,
    now: Date,
    rule?: string,
  ): Promise<'again'> {
    await this.#change(head, { ...plainMove(head, now), state, reason }, now, {
      ...(rule !== undefined && { rule, stage: 'policy' }),
      audit: { event_type: `ACTION_${state}`, actor: 'system:actions', result: 'FAILURE', error: reason },
    })
    return 'again'
  }

  /** The window is over and nobody has stopped it: it is judged like any other, by the Codex that serves now. */
  async release(head: LaneHead, now: Date): Promise<'again'> {
    const reason = 'the hold is over; nobody has stopped it'
    await this.#change(head, { ...plainMove(head, now), state: 'READY', reason }, now, {}, async (tx) => {
      await tx.query(sql.endHold, [head.id, now, reason])
    })
    return 'again'
  }

  /**
   * What would have run needs a (new) decision: policy has become stricter since, or the target is not what it was.
   * @param seen the target as it is now
   */
  async ask(head: LaneHead, reason: string, rule: string, now: Date, seen: Comparison | null = null): Promise<'again'> {
    const move = { ...plainMove(head, now), state: 'PROPOSED', reason }
    const more = { rule, stage: 'policy' } as const
    await this.#change(head, move, now, more, (tx) =>
      requestApproval(tx, { ...head, expires_at: head.expires_at.toISOString() }, now, 'ask', seen),
    )
    return 'again'
  }

  /** The worker that had it is gone. */
  async lapse(head: LaneHead, next: Transition, now: Date): Promise<void> {
    if (await this.#move(head, next, now, { result: 'RETRY' })) this.#trace(head, next, now)
  }

  async #move(
    head: LaneHead,
    next: Transition,
    now: Date,
    what: { result: 'SUCCESS' | 'FAILURE' | 'RETRY'; answer?: Outcome | Probe },
  ) {
    const move: Move = {
      ...plainMove(head, now),
      state: next.state,
      reason: next.reason,
      next_at: next.nextAt.toISOString(),
      probes: next.probes,
      confirmed_by: next.confirmedBy,
      ...(next.remote && { remote_id: next.remote.id, remote_url: next.remote.url, remote: next.remote.detail }),
    }
    const { result, answer } = what
    const error = result === 'SUCCESS' ? null : next.reason
    const payload = { attempts: head.attempts, url: next.remote?.url ?? null, confirmed_by: next.confirmedBy }
    const nth = result === 'SUCCESS' ? head.attempts : `${head.lease_epoch}-${next.state}`
    const audit = { event_type: 'ACTION_EXECUTED', actor: 'system:actions', result, error, payload, nth }
    return this.#change(head, move, now, { detail: payload, audit }, async (tx) => {
      const opened = answer ? await noteConnector(tx, head, answer, now) : null
      if (!opened) return
      const reason = `${head.connector} failed ${opened.failures} times in a row; one trial at ${opened.retryAt?.toISOString()}`
      await this.#record(tx, head, { at: now, stage: 'action', outcome: 'BREAKER_OPEN', reason })
      this.#deps.log.warn(
        { connector: head.connector, failures: opened.failures, retryAt: opened.retryAt },
        'breaker opened',
      )
    })
  }

  /** One transaction: the row (if it is still ours), what freed, and the records. @returns false when somebody else had moved it */
  async #change(
    head: LaneHead,
    move: Move,
    now: Date,
    record: Partial<ActionRecord>,
    also: (tx: Queryable) => Promise<void> = async () => undefined,
  ): Promise<boolean> {
    const changed = await this.#deps.db.transaction(async (tx) => {
      const { count } = await tx.query(sql.move, [JSON.stringify(move)])
      if (count === 0) return false
      if (['FAILED', 'EXPIRED', 'DENIED'].includes(move.state)) await tx.query(sql.freeMeaning, [head.id])
      await also(tx)
      await this.#record(tx, head, { at: now, stage: 'action', outcome: move.state, reason: move.reason, ...record })
      return true
    })
    if (changed && !called.has(head.state)) this.#trace(head, move, now)
    return changed
  }

  #trace(head: LaneHead, next: Parameters<typeof moveSpan>[1], now: Date): void {
    if (this.#deps.tracer?.on) this.#deps.tracer.record([moveSpan(head, next, now)])
  }

  async #record(tx: Queryable, head: LaneHead, record: ActionRecord): Promise<void> {
    await recordAction(tx, this.#deps.outbox, head, record)
  }
}

/** Told where the call or the look has ended. */
const called: ReadonlySet<string> = new Set(['EXECUTING', 'PROBING'])

interface Move {
  readonly id: string
  readonly epoch: number
  readonly from_state: string
  readonly state: string
  readonly reason: string
  readonly next_at: string
  readonly probes: number
  readonly at: string
  readonly confirmed_by: string | null
  readonly remote_id?: string
  readonly remote_url?: string | null
  readonly remote?: object
  readonly rendered?: RenderedRequest
}

function plainMove(head: LaneHead, now: Date): Omit<Move, 'state' | 'reason'> {
  const at = now.toISOString()
  const { id, lease_epoch: epoch, state, probes } = head
  return { id, epoch, from_state: state, probes, next_at: at, at, confirmed_by: null }
}
