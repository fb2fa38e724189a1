import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { ActionRow } from './action-row.ts'

const sql = statements(import.meta.url, './pending.sql', ['lockPending', 'stateOf'])

/** An action that waits for a person, locked together with its approval. */
export interface Pending extends ActionRow {
  readonly dedupe_key: string | null
  readonly expires_at: Date
  readonly approval_id: string
  /** `hold`: it goes by itself when its window ends */
  readonly kind: 'ask' | 'hold'
  readonly approval_hash: string
  /** the target as it was last shown; null: not read */
  readonly seen_before: JsonObject | null
  readonly requested_at: Date | null
  readonly asker: { readonly id?: string; readonly display?: string } | null
}

/** @param id of the action or of the approval. @throws GUILD_NOT_FOUND, GUILD_ACTION_STATE when nothing waits */
export async function lockPending(tx: Queryable, id: string): Promise<Pending> {
  const { rows } = await tx.query<Pending>(sql.lockPending, [id])
  const [pending] = rows
  if (!pending) throw await missing(tx, id, 'decision')
  return pending
}

export async function missing(tx: Queryable, id: string, verb: string): Promise<GuildError> {
  const { rows } = await tx.query<{ id: string; state: string }>(sql.stateOf, [id])
  const [action] = rows
  if (!action) return new GuildError('GUILD_NOT_FOUND', { what: 'action', id })
  return new GuildError('GUILD_ACTION_STATE', { id: action.id, state: action.state, verb })
}

/** Four eyes: whoever set the run off may not also wave its action through. */
export function mustBeAnother(snapshot: CodexSnapshot, pending: Pending, by: string): void {
  if (!snapshot.policies.some((policy) => policy.spec.approvals.fourEyes)) return
  const name = (text: string | undefined) => text?.replace(/^[a-z]+:/, '').toLowerCase()
  const askers = [name(pending.asker?.id), name(pending.asker?.display), name(pending.requested_by ?? undefined)]
  if (askers.includes(name(by))) throw new GuildError('GUILD_APPROVAL_FOUR_EYES', { who: by })
}
