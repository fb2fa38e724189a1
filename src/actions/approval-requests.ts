import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { hashId } from '../kernel/ids.ts'
import type { JsonObject } from '../kernel/json.ts'
import { approvalHash } from './approval-hash.ts'
import type { Comparison } from './target.ts'

const sql = statements(import.meta.url, './approval-requests.sql', ['insertApproval'])

export interface ApprovalRequest {
  readonly id: string
  readonly agent_id: string
  readonly invocation_id: string | null
  readonly type: string
  readonly target: string
  readonly args: JsonObject
  readonly codex_commit: string
  readonly expires_at: string
}

/**
 * Puts the action before a person: the owner of its agent.
 * @param kind `ask`: nothing happens without an answer; `hold`: it goes by itself when the window ends
 * @param seen the target, where it was read on the way here
 */
export async function requestApproval(
  tx: Queryable,
  action: ApprovalRequest,
  at: Date,
  kind: 'ask' | 'hold' = 'ask',
  seen: Comparison | null = null,
): Promise<void> {
  await insert(tx, action, at, { kind, state: 'PENDING', ...seen })
}

export interface GivenApproval {
  readonly by: string
  readonly channel: string
  readonly note: string | null
  readonly at: Date
}

/** Records an approval that was given in the act of editing: it never waited. */
export function recordGivenApproval(tx: Queryable, action: ApprovalRequest, given: GivenApproval): Promise<string> {
  const { by, channel, note, at } = given
  const decided = { decided_by: by, decided_at: at.toISOString(), channel, note }
  return insert(tx, action, at, { kind: 'ask', state: 'APPROVED', ...decided })
}

async function insert(tx: Queryable, action: ApprovalRequest, at: Date, row: object): Promise<string> {
  const hash = approvalHash(action)
  const id = hashId('apr', action.id, hash, at.getTime())
  const { invocation_id, target, codex_commit, agent_id, expires_at } = action
  const head = { id, action_id: action.id, invocation_id, args_hash: hash, target, codex_commit, agent_id }
  await tx.query(sql.insertApproval, [JSON.stringify({ ...head, requested_at: at.toISOString(), expires_at, ...row })])
  return id
}
