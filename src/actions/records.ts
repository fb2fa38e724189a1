import { type AuditEntry, auditMessage } from '../audit/audit.ts'
import { type Decision, recordDecisions } from '../audit/decisions.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Queryable } from '../database/database.ts'
import { hashId } from '../kernel/ids.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Priority } from '../kernel/event.ts'
import { agentTopic, topics } from '../kernel/topics.ts'
import { statements } from '../database/statements.ts'
import { finalStates } from './action-row.ts'

const sql = statements(import.meta.url, './records.sql', ['retitleWait', 'wakeRun', 'markUndone', 'freeMeaning'])

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
  readonly awaited: boolean
  readonly undo_of: string | null
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

/**
 * Decision and audit entry of one thing that happened to an action, in the transaction that makes it true; and what follows from it: a
 * run that waits for it goes on, an action that it takes back is undone.
 */
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
  const entries = record.audit ? [auditMessage(auditEntry(action, record, record.audit))] : []
  // In one breath: neither waits for the answer to the other.
  await Promise.all([recordDecisions(tx, [decision]), outbox.add(tx, topics.audit, entries)])
  if (action.awaited) await tellRun(tx, outbox, action, record.outcome)
  if (action.undo_of !== null && record.outcome === 'SUCCEEDED')
    await markUndone(tx, outbox, action, action.undo_of, record)
}

/** The row of the run first, its message second (law 1); a run that is not suspended yet will see the outcome before it is. */
async function tellRun(tx: Queryable, outbox: Outbox, action: RecordedAction, outcome: string): Promise<void> {
  if (action.invocation_id === null) return
  if (!finalStates.has(outcome)) {
    const waits = waitStates[outcome]
    if (waits) await tx.query(sql.retitleWait, [action.invocation_id, waits])
    return
  }
  const { rows } = await tx.query<{ agent_id: string; priority: Priority }>(sql.wakeRun, [action.invocation_id])
  const [run] = rows
  if (!run) return
  const { invocation_id: id } = action
  await outbox.add(tx, agentTopic(run.agent_id), [{ id, priority: run.priority, body: { invocation_id: id } }])
}

/** What a suspended run waits for, by what has just happened to its action. */
const waitStates: Readonly<Record<string, 'WAITING_ACTION' | 'WAITING_APPROVAL'>> = {
  PROPOSED: 'WAITING_APPROVAL',
  PARKED: 'WAITING_APPROVAL',
  APPROVED: 'WAITING_ACTION',
  READY: 'WAITING_ACTION',
}

async function markUndone(
  tx: Queryable,
  outbox: Outbox,
  by: RecordedAction,
  id: string,
  record: ActionRecord,
): Promise<void> {
  const { rows } = await tx.query<RecordedAction>(sql.markUndone, [id, record.at])
  const [original] = rows
  if (!original) return
  // The idea is free again: to take something back is not to forbid it.
  await tx.query(sql.freeMeaning, [id])
  const reason = `taken back by ${by.id}`
  const audit = {
    event_type: 'ACTION_UNDONE',
    actor: 'system:actions',
    result: 'SUCCESS',
    payload: { by: by.id },
  } as const
  await recordAction(tx, outbox, original, { at: record.at, stage: 'action', outcome: 'UNDONE', reason, audit })
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

/** As the audit trail names a person. */
export function personOf(by: string): string {
  return by.includes(':') ? by : `person:${by}`
}
