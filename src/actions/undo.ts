import type { Outbox } from '../bus/outbox.ts'
import type { Codex } from '../codex/snapshot.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, isGuildError } from '../kernel/errors.ts'
import { hashId } from '../kernel/ids.ts'
import type { JsonObject } from '../kernel/json.ts'
import { isLive } from './action-facts.ts'
import type { ActionRow, ActionState } from './action-row.ts'
import type { Approvals, PersonDecision } from './approvals.ts'
import { announceAction, personOf, recordAction } from './records.ts'
import type { ActionType, DoneAction, Inverse, RenderedRequest } from './target.ts'

const sql = statements(import.meta.url, './undo.sql', [
  'lockAction',
  'undosOf',
  'cancel',
  'freeMeaning',
  'insertUndo',
  'undoable',
])

export interface UndoDeps {
  readonly approvals: Approvals
  /** null: no target knows the type */
  readonly typeOf: (type: string) => ActionType | null
  readonly outbox: Outbox
  readonly codex: Pick<Codex, 'current'>
  readonly clock: Clock
  readonly live: readonly string[]
}

export interface UndoResult {
  /** what was to be taken back */
  readonly actionId: string
  /**
   * `stopped`: it had not been sent yet; `queued`: its inverse is on its way; `shadow`: its inverse will only be rendered;
   * `refused`: see the reason
   */
  readonly result: 'stopped' | 'queued' | 'shadow' | 'refused'
  /** the action that takes it back */
  readonly undoId: string | null
  readonly reason: string
}

/** Who and what is to be taken back, at most 100 actions, newest first. At least one of `run` and `agent` is named. */
export interface UndoMany {
  readonly run?: string | undefined
  readonly agent?: string | undefined
  readonly since?: Date | undefined
}

const manyMax = 100
const expiresMs = 24 * 3_600_000
const failed: ReadonlySet<string> = new Set<ActionState>(['FAILED', 'DENIED', 'EXPIRED', 'SHADOWED'])

/**
 * Taking back. An undo is an action of its own: same lane, policy of the Codex that serves now, probe, audit; a target that somebody has
 * touched since is put before a person instead (`expected`, lanes). Asked for twice it is done once.
 */
export class Undo {
  readonly #deps: UndoDeps

  constructor(deps: UndoDeps) {
    this.#deps = deps
  }

  /** @throws GUILD_NOT_FOUND, GUILD_ACTION_STATE (under way, refused before …), GUILD_ACTION_PERMANENT */
  async undo(db: Database, id: string, who: PersonDecision): Promise<UndoResult> {
    const at = this.#deps.clock.now()
    const early = await db.transaction(async (tx): Promise<UndoResult | 'on the desk'> => {
      const action = await this.#lock(tx, id)
      switch (action.state) {
        case 'PROPOSED':
        case 'HELD':
          return 'on the desk'
        case 'READY':
        case 'RETRY':
          return this.#cancel(tx, action, who, at)
        case 'SUCCEEDED':
          return this.#takeBack(tx, action, who, at)
        case 'UNDONE':
          return {
            actionId: id,
            result: 'queued',
            undoId: await this.#undoneBy(tx, id),
            reason: 'it was taken back before',
          }
        default:
          throw new GuildError('GUILD_ACTION_STATE', { id, state: action.state, verb: 'undo' })
      }
    })
    if (early !== 'on the desk') return early
    await this.#deps.approvals.deny(db, id, who)
    return { actionId: id, result: 'stopped', undoId: null, reason: `stopped by ${who.by} before it was sent` }
  }

  /** Each by itself: one that cannot be taken back does not keep the others. @throws GUILD_REQUEST_INVALID */
  async undoMany(db: Database, many: UndoMany, who: PersonDecision): Promise<readonly UndoResult[]> {
    const { run = null, agent = null, since = null } = many
    if (run === null && agent === null)
      throw new GuildError('GUILD_REQUEST_INVALID', {
        why: 'name a run or an agent whose actions are to be taken back',
      })
    const { rows } = await db.query<{ id: string }>(sql.undoable, [run, agent, since, manyMax])
    const results: UndoResult[] = []
    for (const { id } of rows) {
      try {
        results.push(await this.undo(db, id, who))
      } catch (error) {
        if (!isGuildError(error)) throw error
        results.push({ actionId: id, result: 'refused', undoId: null, reason: error.message })
      }
    }
    return results
  }

  async #lock(tx: Queryable, id: string): Promise<Locked> {
    const { rows } = await tx.query<Locked>(sql.lockAction, [id])
    const [action] = rows
    if (!action) throw new GuildError('GUILD_NOT_FOUND', { what: 'action', id })
    return action
  }

  /** Certainly not sent: whoever is about to claim it finds it refused. */
  async #cancel(tx: Queryable, action: Locked, who: PersonDecision, at: Date): Promise<UndoResult> {
    const reason = `stopped by ${who.by} before it was sent${who.note ? `: ${who.note}` : ''}`
    await tx.query(sql.cancel, [action.id, reason, at])
    await tx.query(sql.freeMeaning, [action.id])
    const payload = { channel: who.channel, note: who.note ?? null }
    const audit = { event_type: 'ACTION_STOPPED', actor: personOf(who.by), result: 'SUCCESS', payload } as const
    await recordAction(tx, this.#deps.outbox, action, { at, stage: 'approval', outcome: 'DENIED', reason, audit })
    return { actionId: action.id, result: 'stopped', undoId: null, reason }
  }

  async #takeBack(tx: Queryable, action: Locked, who: PersonDecision, at: Date): Promise<UndoResult> {
    const inverse = this.#inverse(action)
    const { rows: before } = await tx.query<{ id: string; state: string }>(sql.undosOf, [action.id])
    const underWay = before.find(({ state }) => !failed.has(state))
    if (underWay) {
      const reason = `${underWay.id} is taking it back: ${underWay.state}`
      return { actionId: action.id, result: 'queued', undoId: underWay.id, reason }
    }
    const undo = this.#row(action, inverse, before.length, who, at)
    await tx.query(sql.insertUndo, [action.id, JSON.stringify(undo)])
    await announceAction(tx, this.#deps.outbox, { ...action, id: undo.id })
    await recordAction(
      tx,
      this.#deps.outbox,
      { ...action, ...undo, awaited: false, undo_of: action.id },
      {
        at,
        stage: 'policy',
        outcome: undo.receipt.status,
        rule: undo.rule,
        reason: undo.reason,
        detail: { undo_of: action.id },
        audit: {
          event_type: 'ACTION_PROPOSED',
          actor: personOf(who.by),
          payload: {
            status: undo.receipt.status,
            args: undo.args,
            undo_of: action.id,
            channel: who.channel,
            note: who.note ?? null,
          },
        },
      },
    )
    return { actionId: action.id, result: undo.receipt.status, undoId: undo.id, reason: undo.receipt.reason }
  }

  #inverse(action: Locked): Extract<Inverse, { kind: 'inverse' }> {
    const type = this.#deps.typeOf(action.type)
    if (!type?.inverse) {
      const why = action.undo_of === null ? 'its type is permanent' : 'it takes back another one itself'
      throw new GuildError('GUILD_ACTION_PERMANENT', { id: action.id, type: action.type, why })
    }
    const { args, remote_id: remoteId, remote_url: url, remote, before, rendered } = action
    const done: DoneAction = { args, remoteId, url, remote, before, rendered }
    const inverse = type.inverse(done)
    if (inverse.kind === 'none')
      throw new GuildError('GUILD_ACTION_PERMANENT', { id: action.id, type: action.type, why: inverse.reason })
    return inverse
  }

  #row(action: Locked, inverse: Extract<Inverse, { kind: 'inverse' }>, nth: number, who: PersonDecision, at: Date) {
    const snapshot = this.#deps.codex.current()
    const key = hashId('act', 'undo', action.id, nth)
    const id = hashId('act', key)
    const status = isLive(action, snapshot, this.#deps.live) ? ('queued' as const) : ('shadow' as const)
    const reason =
      status === 'queued'
        ? `${id} takes it back, in the order of its target`
        : `${id} is rendered only: ${action.connector} is in shadow mode`
    return {
      id,
      action_key: key,
      type: inverse.type,
      args: inverse.args,
      args_hash: canonicalHash(inverse.args),
      rule: `undo by ${who.by}`,
      receipt: { status, reason },
      reason: `${who.by} takes ${action.id} back${who.note ? `: ${who.note}` : ''}`,
      marker: `guild:${id}`,
      at: at.toISOString(),
      expires_at: new Date(at.getTime() + expiresMs).toISOString(),
      codex_commit: snapshot.commit,
      requested_by: who.by,
      expected: inverse.expected,
    }
  }

  async #undoneBy(tx: Queryable, id: string): Promise<string | null> {
    const { rows } = await tx.query<{ id: string; state: string }>(sql.undosOf, [id])
    return rows.findLast(({ state }) => state === 'SUCCEEDED')?.id ?? null
  }
}

interface Locked extends Omit<ActionRow, 'requested_by' | 'expected'> {
  readonly state: ActionState
  readonly remote_id: string | null
  readonly remote_url: string | null
  readonly remote: JsonObject | null
  readonly before: JsonObject | null
  readonly rendered: RenderedRequest | null
}
