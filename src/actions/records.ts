import { type AuditEntry, auditMessage } from '../audit/audit.ts'
import { type Decision, recordDecisions } from '../audit/decisions.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Queryable } from '../database/database.ts'
import { hashId } from '../kernel/ids.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Priority } from '../kernel/event.ts'
import { topics } from '../kernel/topics.ts'

/** What every record of an action names. */
export interface RecordedAction {
  readonly id: string
  readonly agent_id: string
  readonly event_id: string
  readonly trace_id: string
  readonly invocation_id: string | null
  readonly type: string
  readonly target_system: string
  readonly target: string
  readonly codex_commit: string
}

export interface ActionRecord {
  readonly at: Date
  readonly stage: Decision['stage']
  /** state or verdict */
  readonly outcome: string
  readonly reason: string
  readonly rule?: string | null
  readonly detail?: JsonObject
  /** absent: only the decision is written */
  readonly audit?: {
    readonly event_type: string
    readonly actor: string
    readonly result?: AuditEntry['result']
    readonly error?: string | null
    readonly payload?: JsonObject
    /** tells two entries of one type and action apart: attempt, approval id */
    readonly nth?: string | number
  }
}

/** Decision and audit entry of one thing that happened to an action, in the transaction that makes it true. */
export async function recordAction(
  tx: Queryable,
  outbox: Outbox,
  action: RecordedAction,
  record: ActionRecord,
): Promise<void> {
  const decision: Decision = {
    at: record.at.toISOString(),
    stage: record.stage,
    outcome: record.outcome,
    event_id: action.event_id,
    agent_id: action.agent_id,
    invocation_id: action.invocation_id,
    action_id: action.id,
    rule: record.rule ?? null,
    reason: record.reason,
    codex_commit: action.codex_commit,
    detail: record.detail ?? {},
  }
  await recordDecisions(tx, [decision])
  if (record.audit) await outbox.add(tx, topics.audit, [auditMessage(auditEntry(action, record, record.audit))])
}

function auditEntry(
  action: RecordedAction,
  record: ActionRecord,
  audit: NonNullable<ActionRecord['audit']>,
): AuditEntry {
  return {
    id: hashId('aud', action.id, audit.event_type, audit.nth ?? 0),
    timestamp: record.at.toISOString(),
    event_type: audit.event_type,
    agent_id: action.agent_id,
    source_event_id: action.event_id,
    action_type: action.type,
    target_system: action.target_system,
    payload: { target: action.target, state: record.outcome, reason: record.reason, ...audit.payload },
    result: audit.result ?? null,
    error_message: audit.error ?? null,
    trace_id: action.trace_id,
    invocation_id: action.invocation_id,
    action_id: action.id,
    actor: audit.actor,
    codex_commit: action.codex_commit,
  }
}

/** The message that says: this row wants to be carried out. The row is the truth, the message only its delivery (law 1). */
export async function announceAction(
  tx: Queryable,
  outbox: Outbox,
  action: { readonly id: string; readonly connector: string; readonly target: string; readonly priority: Priority },
): Promise<void> {
  const key = `${action.connector}|${action.target}`
  await outbox.add(tx, topics.actions, [
    { id: action.id, key, priority: action.priority, body: { action_id: action.id } },
  ])
}
