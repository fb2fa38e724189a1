import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Integrity, Priority } from '../kernel/event.ts'
import type { JsonObject } from '../kernel/json.ts'
import { seenHash } from './approval-hash.ts'
import type { ActionState } from './action-row.ts'
import type { RenderedRequest } from './target.ts'

const sql = statements(import.meta.url, './views.sql', ['listActions', 'getAction', 'listApprovals'])

export interface ActionView {
  readonly id: string
  readonly type: string
  readonly connector: string
  readonly target_system: string
  readonly target: string
  readonly state: ActionState
  readonly reason: string | null
  readonly autonomy: number
  readonly rule: string | null
  readonly integrity: Integrity
  readonly priority: Priority
  readonly agent_id: string
  readonly chapter: string | null
  readonly invocation_id: string | null
  readonly event_id: string
  readonly trace_id: string
  readonly args: JsonObject
  readonly attempts: number
  readonly probes: number
  readonly next_at: Date
  /** HELD: it goes by itself then */
  readonly hold_until: Date | null
  readonly sent_at: Date | null
  readonly expires_at: Date
  /** a suspended run waits for it */
  readonly awaited: boolean
  /** the action that this one takes back */
  readonly undo_of: string | null
  /** the person who asked for it; null: an agent */
  readonly requested_by: string | null
  /** the target as the decision saw it: a target that looks different needs a new one */
  readonly expected: JsonObject | null
  /** the target when the call went out, and what the call makes of it; null: not read */
  readonly before: JsonObject | null
  readonly after: JsonObject | null
  readonly remote_id: string | null
  readonly remote_url: string | null
  readonly confirmed_by: 'response' | 'probe' | 'echo' | 'person' | null
  readonly provider: string | null
  readonly model: string | null
  readonly codex_commit: string
  readonly created_at: Date
  readonly updated_at: Date
  readonly finished_at: Date | null
}

export interface ActionDetail extends ActionView {
  /** the exact call, as sent or (shadow) as it would be */
  readonly rendered: RenderedRequest | null
  readonly remote: JsonObject | null
  readonly causal_root: string
  readonly causal_depth: number
  readonly receipt: JsonObject
  /** oldest first; times as ISO texts */
  readonly approvals: readonly JsonObject[]
  /** what was asked for to take it back, oldest first */
  readonly undos: readonly JsonObject[]
  /** the story: oldest first */
  readonly decisions: readonly JsonObject[]
}

export interface ApprovalView {
  readonly id: string
  readonly action_id: string
  /** `hold`: it goes by itself at `hold_until`, unless it is stopped */
  readonly kind: 'ask' | 'hold'
  readonly state: 'PENDING' | 'APPROVED' | 'DENIED' | 'EXPIRED'
  /** to be handed back with the decision: it binds what was seen */
  readonly approval_hash: string
  /** the target when it was looked at last, and what would become of it; null: not read */
  readonly before: JsonObject | null
  readonly after: JsonObject | null
  readonly seen_at: Date | null
  readonly hold_until: Date | null
  readonly undo_of: string | null
  readonly requested_by: string | null
  /** why it waits */
  readonly reason: string | null
  readonly asked: string
  readonly requested_at: Date
  readonly expires_at: Date
  readonly decided_by: string | null
  readonly decided_at: Date | null
  readonly channel: string | null
  readonly note: string | null
  readonly type: string
  readonly connector: string
  readonly target: string
  readonly args: JsonObject
  readonly agent_id: string
  readonly chapter: string | null
  readonly invocation_id: string | null
  readonly event_id: string
  readonly trace_id: string
  readonly priority: Priority
  readonly integrity: Integrity
  readonly rule: string | null
  readonly provider: string | null
  readonly model: string | null
  readonly codex_commit: string
}

export interface ActionFilter {
  /** at most 200; default 50 */
  readonly limit?: number
  /** id of the last one seen: those before it follow */
  readonly before?: string
  readonly states?: readonly ActionState[]
  readonly agentId?: string
  readonly invocationId?: string
  readonly eventId?: string
  readonly target?: string
}

/** Newest first. */
export async function listActions(db: Queryable, filter: ActionFilter = {}): Promise<readonly ActionView[]> {
  const { rows } = await db.query<ActionView>(sql.listActions, [
    pageSize(filter.limit),
    filter.before ?? null,
    filter.states ?? null,
    filter.agentId ?? null,
    filter.invocationId ?? null,
    filter.eventId ?? null,
    filter.target ?? null,
  ])
  return rows
}

/** One action with its approvals and decisions; null: there is none. */
export async function getAction(db: Queryable, id: string): Promise<ActionDetail | null> {
  const { rows } = await db.query<ActionDetail>(sql.getAction, [id])
  return rows[0] ?? null
}

/** Newest first. */
export async function listApprovals(
  db: Queryable,
  filter: { readonly limit?: number; readonly before?: string; readonly state?: ApprovalView['state'] } = {},
): Promise<readonly ApprovalView[]> {
  const params = [pageSize(filter.limit), filter.before ?? null, filter.state ?? null]
  const { rows } = await db.query<ApprovalView>(sql.listApprovals, params)
  return rows.map((row) => ({ ...row, approval_hash: seenHash(row.approval_hash, row.before) }))
}

function pageSize(limit: number | undefined): number {
  return Math.max(1, Math.min(200, Math.trunc(limit ?? 50)))
}
