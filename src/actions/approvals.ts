import type { Outbox } from '../bus/outbox.ts'
import type { Codex, CodexSnapshot } from '../codex/snapshot.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { actionPolicy } from '../guards/action-policy.ts'
import { outboundVerdict } from '../guards/privacy/outbound.ts'
import { type Redactor, standardRedactor } from '../guards/privacy/redact.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import type { JsonObject } from '../kernel/json.ts'
import { outboundOf, policyInput } from './action-facts.ts'
import { seenHash } from './approval-hash.ts'
import { recordGivenApproval } from './approval-requests.ts'
import type { Desk } from './desk.ts'
import { dedupeKey } from './draft.ts'
import { lockPending, missing, mustBeAnother, type Pending } from './pending.ts'
import { announceAction, personOf, recordAction } from './records.ts'

const sql = statements(import.meta.url, './approvals.sql', [
  'decideApproval',
  'release',
  'close',
  'freeMeaning',
  'holdMeaning',
  'settle',
])

export interface ApprovalsDeps {
  readonly desk: Desk
  readonly outbox: Outbox
  readonly codex: Pick<Codex, 'current'>
  readonly clock: Clock
  readonly live: readonly string[]
  readonly redactor?: Redactor
}

export interface PersonDecision {
  /** who decides: a key's name or a login */
  readonly by: string
  /** `api`, `cli`, `console`, `slack` */
  readonly channel: string
  readonly note?: string | null
}

export interface Approve extends PersonDecision {
  /** `approval_hash` of what the person has seen */
  readonly argsHash: string
  /** replaces the arguments: one act of editing and approving */
  readonly editedArgs?: unknown
}

/** What a person has said about an action. Each approval is used once, and binds arguments, target, Codex commit and deadline. */
export class Approvals {
  readonly #deps: ApprovalsDeps

  constructor(deps: ApprovalsDeps) {
    this.#deps = deps
  }

  /**
   * @param id of the action or of the approval
   * @throws GUILD_NOT_FOUND, GUILD_ACTION_STATE (decided before), GUILD_APPROVAL_STALE (expired, or another version was seen),
   * GUILD_APPROVAL_FOUR_EYES, GUILD_ACTION_INVALID (the edit)
   */
  async approve(
    db: Database,
    id: string,
    decision: Approve,
  ): Promise<{ readonly actionId: string; readonly state: 'READY' }> {
    const at = this.#deps.clock.now()
    const result = await db.transaction(async (tx) => {
      const pending = await lockPending(tx, id)
      if (pending.expires_at <= at) return this.#expire(tx, pending, at)
      if (seenHash(pending.approval_hash, pending.seen_before) !== decision.argsHash) {
        throw new GuildError('GUILD_APPROVAL_STALE', { why: 'it was given for another version of the action' })
      }
      const snapshot = this.#deps.codex.current()
      mustBeAnother(snapshot, pending, decision.by)
      if (decision.editedArgs === undefined) await this.#approveAsIs(tx, pending, decision, at)
      else await this.#approveEdited(tx, pending, decision, snapshot, at)
      return { actionId: pending.id, state: 'READY' } as const
    })
    // Thrown after the commit: the expiry itself must stay.
    if (result.state === 'EXPIRED') throw new GuildError('GUILD_APPROVAL_STALE', { why: 'its time has run out' })
    return result
  }

  /** @throws GUILD_NOT_FOUND, GUILD_ACTION_STATE */
  async deny(
    db: Database,
    id: string,
    decision: PersonDecision,
  ): Promise<{ readonly actionId: string; readonly state: 'DENIED' }> {
    const at = this.#deps.clock.now()
    return db.transaction(async (tx) => {
      const pending = await lockPending(tx, id)
      const reason = `denied by ${decision.by}${decision.note ? `: ${decision.note}` : ''}`
      await tx.query(sql.decideApproval, [
        pending.approval_id,
        'DENIED',
        decision.by,
        at,
        decision.channel,
        decision.note ?? null,
      ])
      await tx.query(sql.close, [pending.id, 'DENIED', reason, at])
      await tx.query(sql.freeMeaning, [pending.id])
      await this.#record(tx, pending, decision, { at, outcome: 'DENIED', reason, approvalId: pending.approval_id })
      return { actionId: pending.id, state: 'DENIED' }
    })
  }

  /**
   * A person says what became of a PARKED action: it `happened`, it did not and shall be tried `again`, or it is `dropped`.
   * @throws GUILD_NOT_FOUND, GUILD_ACTION_STATE
   */
  async settle(
    db: Database,
    id: string,
    decision: PersonDecision & { readonly verdict: 'happened' | 'again' | 'dropped' },
  ): Promise<void> {
    const at = this.#deps.clock.now()
    const state = { happened: 'SUCCEEDED', again: 'READY', dropped: 'FAILED' }[decision.verdict]
    const reason = `${decision.by} says: ${decision.verdict}${decision.note ? ` (${decision.note})` : ''}`
    await db.transaction(async (tx) => {
      const confirmedBy = state === 'SUCCEEDED' ? 'person' : null
      const { rows } = await tx.query<Pending>(sql.settle, [id, state, reason, confirmedBy, at])
      const [action] = rows
      if (!action) throw await missing(tx, id, 'verdict')
      if (state === 'READY') await announceAction(tx, this.#deps.outbox, action)
      if (state === 'FAILED') await tx.query(sql.freeMeaning, [id])
      await this.#record(tx, action, decision, { at, outcome: state, reason, approvalId: `settle-${at.getTime()}` })
    })
  }

  async #approveAsIs(tx: Queryable, pending: Pending, decision: Approve, at: Date): Promise<void> {
    const reason = `approved by ${decision.by}`
    await tx.query(sql.decideApproval, [
      pending.approval_id,
      'APPROVED',
      decision.by,
      at,
      decision.channel,
      decision.note ?? null,
    ])
    const { args, target } = pending
    await tx.query(sql.release, [
      pending.id,
      reason,
      JSON.stringify(args),
      canonicalHash(args),
      target,
      pending.dedupe_key,
      at,
      jsonOf(pending.seen_before ?? pending.expected),
    ])
    await announceAction(tx, this.#deps.outbox, pending)
    await this.#record(tx, pending, decision, { at, outcome: 'APPROVED', reason, approvalId: pending.approval_id })
  }

  async #approveEdited(
    tx: Queryable,
    pending: Pending,
    decision: Approve,
    snapshot: CodexSnapshot,
    at: Date,
  ): Promise<void> {
    const edited = this.#edited(pending, decision.editedArgs, snapshot)
    const replaced = `replaced by an edited version of ${decision.by}`
    await tx.query(sql.decideApproval, [pending.approval_id, 'DENIED', decision.by, at, decision.channel, replaced])
    const action = { ...pending, ...edited, expires_at: pending.expires_at.toISOString() }
    const given = {
      by: decision.by,
      channel: decision.channel,
      note: decision.note ?? null,
      at,
    }
    const approvalId = await recordGivenApproval(tx, action, given)
    const reason = `edited and approved by ${decision.by}`
    await tx.query(sql.release, [
      pending.id,
      reason,
      JSON.stringify(edited.args),
      canonicalHash(edited.args),
      edited.target,
      edited.dedupeKey,
      at,
      // What was seen was the target of other arguments.
      null,
    ])
    if (edited.dedupeKey !== null) await tx.query(sql.holdMeaning, [edited.dedupeKey, pending.id, pending.expires_at])
    await announceAction(tx, this.#deps.outbox, action)
    const detail = { before: pending.args, after: edited.args }
    await this.#record(tx, pending, decision, { at, outcome: 'APPROVED', reason, approvalId, detail })
  }

  /** An edit is judged like a proposal: schema, targets and denials of the Codex that serves now. */
  #edited(pending: Pending, editedArgs: unknown, snapshot: CodexSnapshot) {
    const known = this.#deps.desk.typeOf(pending.type)
    const parsed = known?.type.args.safeParse(editedArgs)
    if (!known || !parsed?.success) {
      const why = parsed?.error?.issues[0]?.message ?? 'no target knows it'
      throw new GuildError('GUILD_ACTION_INVALID', { type: pending.type, why })
    }
    const target = known.type.target(parsed.data)
    const agent = snapshot.agents.get(pending.agent_id)
    const grant = agent?.manifest.spec.tools.actions.find(({ type }) => type === pending.type)
    if (!agent || !grant)
      throw new GuildError('GUILD_ACTION_INVALID', { type: pending.type, why: 'the Codex no longer grants it' })
    // The grant's own condition, the thread and the count of the run are looked at when it is carried out; here it is the new target that counts.
    const at = this.#deps.clock.now()
    const subject = {
      ...pending,
      system: known.system,
      target,
      args: parsed.data,
      usedInRun: 0,
      agent,
      event: null,
      at,
    }
    const here = { ...grant, when: undefined, within: undefined }
    const verdict = actionPolicy(
      policyInput({ ...subject, grant: here }, { ...snapshot, denials: [] }, this.#deps.live),
    )
    if (verdict.verdict === 'deny')
      throw new GuildError('GUILD_ACTION_INVALID', { type: pending.type, why: verdict.reason })
    const outbound = outboundVerdict(
      outboundOf({ ...pending, target, args: parsed.data }, [], snapshot),
      this.#redactor,
    )
    if (outbound.kind === 'deny')
      throw new GuildError('GUILD_ACTION_INVALID', { type: pending.type, why: outbound.reason })
    return { args: parsed.data, target, dedupeKey: dedupeKey(known.type, pending.connector, target, parsed.data) }
  }

  get #redactor(): Redactor {
    return this.#deps.redactor ?? standardRedactor
  }

  async #expire(
    tx: Queryable,
    pending: Pending,
    at: Date,
  ): Promise<{ readonly actionId: string; readonly state: 'EXPIRED' }> {
    const reason = 'nobody approved it in time'
    await tx.query(sql.decideApproval, [pending.approval_id, 'EXPIRED', null, at, null, null])
    await tx.query(sql.close, [pending.id, 'EXPIRED', reason, at])
    await tx.query(sql.freeMeaning, [pending.id])
    await recordAction(tx, this.#deps.outbox, pending, {
      at,
      stage: 'approval',
      outcome: 'EXPIRED',
      reason,
      audit: { event_type: 'ACTION_EXPIRED', actor: 'system:actions', result: 'FAILURE', error: reason },
    })
    return { actionId: pending.id, state: 'EXPIRED' }
  }

  async #record(tx: Queryable, action: Pending, decision: PersonDecision, what: Recorded): Promise<void> {
    const waitedMs = action.requested_at ? what.at.getTime() - action.requested_at.getTime() : null
    const payload: JsonObject = {
      channel: decision.channel,
      note: decision.note ?? null,
      waited_ms: waitedMs,
      ...what.detail,
    }
    await recordAction(tx, this.#deps.outbox, action, {
      at: what.at,
      stage: 'approval',
      outcome: what.outcome,
      reason: what.reason,
      detail: payload,
      audit: {
        event_type: 'APPROVAL_DECIDED',
        actor: personOf(decision.by),
        result: 'SUCCESS',
        payload,
        nth: what.approvalId,
      },
    })
  }
}

function jsonOf(value: JsonObject | null): string | null {
  return value && JSON.stringify(value)
}

interface Recorded {
  readonly at: Date
  readonly outcome: string
  readonly reason: string
  readonly approvalId: string
  readonly detail?: JsonObject
}
