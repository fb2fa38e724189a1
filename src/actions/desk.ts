import { z } from 'zod'
import { recordDecisions } from '../audit/decisions.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Queryable } from '../database/database.ts'
import { gathered, joinedJson, mergeable } from '../database/gathered.ts'
import { statements } from '../database/statements.ts'
import { cleanArgs, mayPassTo } from '../guards/privacy/outbound.ts'
import { type Redactor, standardRedactor } from '../guards/privacy/redact.ts'
import type { JsonValue } from '../kernel/json.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import { reasonOf } from '../kernel/errors.ts'
import { finalStates } from './action-row.ts'
import { requestApproval } from './approval-requests.ts'
import { type Draft, draftOf, type ReadProposal } from './draft.ts'
import type { ActionOutcome, ActionProposal, ActionReceipt } from './proposal.ts'
import { announceAction, recordAction } from './records.ts'
import type { ActionType } from './target.ts'

const plain = statements(import.meta.url, './desk.sql', [
  'claimMeaning',
  'claimMeaningMany',
  'meaningHolder',
  'takeMeaning',
  'insertAction',
  'receiptOf',
  'outcomes',
])
const sql = {
  ...plain,
  claimMeaning: gathered(plain.claimMeaning, plain.claimMeaningMany),
  insertAction: mergeable(plain.insertAction, (calls) => [joinedJson(calls.map(([drafts]) => drafts ?? '[]'))]),
}

export interface DeskDeps {
  /** every system that can be written to, also where no token is configured yet */
  readonly systems: readonly { readonly system: string; readonly types: readonly ActionType[] }[]
  readonly outbox: Outbox
  /** connectors or systems named by GUILD_LIVE */
  readonly live: readonly string[]
  readonly redactor?: Redactor
}

/** Where what agents want to do arrives (law 3: agents read, the action executor writes). */
export class Desk {
  readonly #deps: DeskDeps
  readonly #described = new Map<string, { readonly description: string; readonly inputSchema: object }>()

  constructor(deps: DeskDeps) {
    this.#deps = deps
  }

  /** What the model sees as a tool; null: no target knows the type. */
  describe(type: string): { readonly description: string; readonly inputSchema: object } | null {
    const before = this.#described.get(type)
    if (before) return before
    const known = this.typeOf(type)
    if (!known) return null
    const inputSchema = z.toJSONSchema(known.type.args, { io: 'input' })
    const described = { description: known.type.description, inputSchema }
    this.#described.set(type, described)
    return described
  }

  typeOf(type: string): { readonly system: string; readonly type: ActionType } | null {
    for (const { system, types } of this.#deps.systems) {
      const found = types.find((candidate) => candidate.type === type)
      if (found) return { system, type: found }
    }
    return null
  }

  /**
   * Parses, asks policy, deduplicates by meaning, and writes row, approval, decision, audit entry and message in `tx`. The same
   * `actionKey` again gives the same receipt. Bad arguments and refusals are `denied` receipts with the reason, never exceptions.
   */
  async propose(tx: Queryable, proposal: ActionProposal): Promise<ActionReceipt> {
    const given = this.#guarded(proposal)
    if (given.kind === 'failed') return this.#refuse(tx, proposal, given.reason)
    const { read } = given
    if (read.kind === 'invalid') return this.#refuse(tx, proposal, read.reason)
    const draft = draftOf(given.proposal, read, this.#deps.live, this.#redactor)
    const twin = draft.state === 'DENIED' ? null : await claimMeaning(tx, draft, read.type)
    if (twin !== null) return this.#duplicate(tx, proposal, twin)

    const { rows } = await tx.query(sql.insertAction, [JSON.stringify([draft])])
    if (rows.length === 0) {
      const existing = await tx.query<{ id: string; receipt: Omit<ActionReceipt, 'actionId'> }>(sql.receiptOf, [
        draft.action_key,
      ])
      const row = existing.rows[0]
      if (row) return { status: row.receipt.status, actionId: row.id, reason: row.receipt.reason }
    }
    if (draft.state === 'PROPOSED') await requestApproval(tx, draft, proposal.at)
    if (draft.state === 'HELD') await requestApproval(tx, draft, proposal.at, 'hold')
    const announced = draft.state === 'READY' || draft.state === 'HELD'
    // In one breath: neither waits for the answer to the other.
    await Promise.all([
      announced && announceAction(tx, this.#deps.outbox, draft),
      recordAction(
        tx,
        this.#deps.outbox,
        { ...draft, undo_of: null },
        {
          at: proposal.at,
          stage: 'policy',
          outcome: draft.receipt.status,
          rule: draft.rule,
          reason: draft.receipt.reason,
          detail: { target: draft.target, autonomy: draft.autonomy },
          audit: {
            event_type: 'ACTION_PROPOSED',
            actor: `agent:${draft.agent_id}`,
            payload: { status: draft.receipt.status, args: draft.args },
          },
        },
      ),
    ])
    return { ...draft.receipt, actionId: draft.id }
  }

  /**
   * How the actions stand that a run waits for, locked so that none of them ends between this look and the commit of `tx`. In the order
   * of `ids`; what is not known is left out.
   */
  async outcomes(tx: Queryable, ids: readonly string[]): Promise<readonly ActionOutcome[]> {
    const { rows } = await tx.query<Omit<ActionOutcome, 'over'>>(sql.outcomes, [ids])
    return rows.map((row) => ({ ...row, over: finalStates.has(row.state) }))
  }

  /** The arguments as the type understands them, or why it does not. */
  read(proposal: Pick<ActionProposal, 'type' | 'args'>): Read {
    const known = this.typeOf(proposal.type)
    if (!known) return { kind: 'invalid', reason: `no target knows the action ${proposal.type}` }
    const parsed = known.type.args.safeParse(proposal.args)
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      return { kind: 'invalid', reason: `${issue?.path.join('.') || 'arguments'}: ${issue?.message ?? 'not valid'}` }
    }
    try {
      return {
        kind: 'read',
        ...known,
        args: parsed.data,
        argsHash: canonicalHash(parsed.data),
        target: known.type.target(parsed.data),
      }
    } catch (error) {
      return { kind: 'invalid', reason: reasonOf(error) }
    }
  }

  /** Without secrets before anything is parsed, and so quoted; then with the personal data that may be sent to this target. */
  #guarded(proposal: ActionProposal) {
    const { privacy } = proposal.snapshot
    // What a model wrote, read from the journal: JSON.
    const cleaned = cleanArgs((proposal.args ?? null) as JsonValue, privacy, this.#redactor)
    if (cleaned.kind === 'failed') return cleaned
    const leaks = [...new Set([...(proposal.leaks ?? []), ...cleaned.leaks])]
    const named = this.read({ type: proposal.type, args: cleaned.args })
    const args = named.kind === 'read' ? proposal.restore?.(cleaned.args, mayPassTo(named.target, privacy)) : undefined
    if (args === undefined)
      return { kind: 'guarded', read: named, proposal: { ...proposal, args: cleaned.args, leaks } } as const
    return {
      kind: 'guarded',
      read: this.read({ type: proposal.type, args }),
      proposal: { ...proposal, args, leaks },
    } as const
  }

  get #redactor(): Redactor {
    return this.#deps.redactor ?? standardRedactor
  }

  async #refuse(tx: Queryable, proposal: ActionProposal, reason: string): Promise<ActionReceipt> {
    const safe = reason.toWellFormed().replaceAll('\0', '').slice(0, 500)
    await this.#decide(tx, proposal, 'denied', safe, null)
    return { status: 'denied', actionId: null, reason: safe }
  }

  async #duplicate(tx: Queryable, proposal: ActionProposal, twin: string): Promise<ActionReceipt> {
    const reason = `the same was already asked for as ${twin}`
    await this.#decide(tx, proposal, 'duplicate', reason, twin)
    return { status: 'duplicate', actionId: twin, reason }
  }

  async #decide(
    tx: Queryable,
    proposal: ActionProposal,
    outcome: string,
    reason: string,
    actionId: string | null,
  ): Promise<void> {
    await recordDecisions(tx, [
      {
        at: proposal.at.toISOString(),
        stage: 'policy',
        outcome,
        event_id: proposal.event.id,
        agent_id: proposal.agent.id,
        invocation_id: proposal.invocationId,
        action_id: actionId,
        rule: `${proposal.agent.place.file}#${proposal.type.slice(0, 50)}`,
        reason,
        codex_commit: proposal.snapshot.commit,
      },
    ])
  }
}

type Read = { readonly kind: 'invalid'; readonly reason: string } | (ReadProposal & { readonly kind: 'read' })

/** Takes the idea for this action. @returns the action that already has it, or null when it is ours */
async function claimMeaning(tx: Queryable, draft: Draft, type: ActionType): Promise<string | null> {
  const key = draft.dedupe_key
  if (key === null) return null
  const until = new Date(Date.parse(draft.created_at) + type.dedupeWindowMs)
  const claimed = await tx.query(sql.claimMeaning, [key, draft.id, until, draft.created_at])
  if (claimed.rows.length > 0) return null
  const holders = await tx.query<{ action_id: string; replaced: boolean; shadowed: boolean }>(sql.meaningHolder, [key])
  const holder = holders.rows[0]
  // What was only rendered has not been said: once the connector is live, the same idea is carried out.
  const unsaid = holder?.shadowed === true && draft.receipt.status !== 'shadow'
  if (!holder || unsaid || (type.stateful && holder.replaced)) {
    // "red", "green", "red" again is news: the first has been replaced since.
    const taken = await tx.query(sql.takeMeaning, [key, draft.id, until, holder?.action_id ?? ''])
    if (taken.rows.length > 0 || !holder) return null
  }
  return holder.action_id
}
