import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { JsonValue } from '../kernel/json.ts'

const sql = statements(import.meta.url, './runs.sql', ['listRuns', 'getRun'])

/** A row of `guild_core.invocations` with what its event was, as API and CLI show it. */
export interface RunRow {
  readonly id: string
  readonly agent_id: string
  readonly agent_type: string
  readonly agent_version: string
  readonly chapter: string | null
  readonly event_id: string
  readonly event_type: string
  readonly source: string
  readonly subject_id: string
  readonly trace_id: string
  readonly rule: string
  readonly priority: string
  readonly state: string
  readonly reason: string | null
  readonly reason_detail: string | null
  readonly attempts: number
  readonly not_before: Date | null
  readonly queued_at: Date
  readonly started_at: Date | null
  readonly finished_at: Date | null
  /** wall clock while RUNNING, and in WAITING_* states */
  readonly active_ms: number
  readonly waited_ms: number
  readonly summary: string | null
  /** what answered last */
  readonly provider: string | null
  readonly model: string | null
  readonly model_calls: number
  readonly tool_calls: number
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cost_micros: number
  /** accepted by policy */
  readonly actions: number
  readonly codex_commit: string
  /** path in the artifacts */
  readonly transcript_ref: string | null
}

export interface RunDetail extends RunRow {
  readonly causal_root: string
  readonly causal_depth: number
  readonly parent_id: string | null
  readonly snapshot_hash: string
  readonly failing_seq: number | null
  readonly failures: number
  /** of `limits.concurrency`: the runs it is counted with; null: no limit */
  readonly slot_key: string | null
  readonly slots_max: number | null
  /** behind whom it waits (a run, or `breaker`), why, and when it is likely to start */
  readonly held_by: string | null
  readonly held_reason: string | null
  readonly predicted_start: Date | null
  /** set: it ends at its next edge, for this reason */
  readonly cancel: string | null
  /** events that joined it before it started, and the newest of them, which it works on */
  readonly coalesced: number
  readonly latest_event_id: string | null
  readonly lease_owner: string | null
  readonly lease_epoch: number
  readonly lease_until: Date | null
  readonly output: JsonValue
  /** the journal, every attempt */
  readonly steps: readonly RunStep[]
  readonly usage: readonly JsonValue[]
  readonly proposed: readonly JsonValue[]
  readonly decisions: readonly JsonValue[]
}

export interface RunStep {
  readonly seq: number
  readonly attempt: number
  readonly kind: string
  readonly name: string
  readonly status: string
  readonly lease_epoch: number
  readonly request_hash: string | null
  readonly request: JsonValue
  readonly response: JsonValue
  readonly usage: JsonValue
  readonly error: string | null
  readonly started_at: string
  readonly finished_at: string | null
}

export interface RunFilter {
  /** 1 to 500 */
  readonly limit: number
  /** id of the last run of the page before */
  readonly before?: string | undefined
  readonly state?: string | undefined
  readonly agent?: string | undefined
}

/** Newest first. */
export async function listRuns(db: Queryable, filter: RunFilter): Promise<readonly RunRow[]> {
  const { limit, before, state, agent } = filter
  const most = Math.min(500, Math.max(1, limit))
  const { rows } = await db.query<RunRow>(sql.listRuns, [state ?? null, agent ?? null, before ?? null, most])
  return rows
}

/** One run with its journal, usage, actions and decisions; null: there is none. */
export async function getRun(db: Queryable, id: string): Promise<RunDetail | null> {
  const { rows } = await db.query<RunDetail>(sql.getRun, [id])
  return rows[0] ?? null
}
