import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { JsonObject } from '../kernel/json.ts'

const sql = statements(import.meta.url, './trail.sql', ['auditPage'])

/** One row of the chain. */
export interface AuditRow {
  readonly seq: number
  readonly id: string
  readonly timestamp: Date
  readonly event_type: string
  readonly actor: string
  readonly agent_id: string | null
  readonly source_event_id: string | null
  readonly action_type: string | null
  readonly target_system: string | null
  readonly payload: JsonObject
  readonly result: string | null
  readonly error_message: string | null
  readonly trace_id: string | null
  readonly invocation_id: string | null
  readonly action_id: string | null
  readonly codex_commit: string | null
  readonly decision_id: string | null
  readonly prev_hash: string
  readonly hash: string
}

/** The trail, newest first. @param before a sequence number: those below it follow */
export async function listAudit(db: Queryable, limit: number, before: number | null): Promise<readonly AuditRow[]> {
  return (await db.query<AuditRow>(sql.auditPage, [before, limit])).rows
}
