import type { JsonObject } from '../kernel/json.ts'
import type { BusMessage } from '../bus/bus.ts'

/** One line of the audit trail, before the chain gives it a sequence number and hashes. The seed's columns and ours. */
export interface AuditEntry {
  /** `aud_…`, deterministic from what it records: a second delivery is the same entry */
  readonly id: string
  readonly timestamp: string
  /** e.g. `EVENT_DECIDED`, `AGENT_INVOCATION`, `ACTION_PROPOSED`, `ACTION_EXECUTED`, `APPROVAL_DECIDED`, `CODEX_LOADED`, `CONNECTOR_LIVE`, `ERROR` */
  readonly event_type: string
  readonly agent_id?: string | null
  readonly source_event_id?: string | null
  readonly action_type?: string | null
  readonly target_system?: string | null
  readonly payload: JsonObject
  readonly result?: 'SUCCESS' | 'FAILURE' | 'RETRY' | null
  readonly error_message?: string | null
  readonly trace_id?: string | null
  readonly invocation_id?: string | null
  readonly action_id?: string | null
  /** who: `agent:sentinel`, `person:ada`, `system:dispatcher` */
  readonly actor: string
  readonly codex_commit?: string | null
  readonly decision_id?: string | null
}

/** The message for `guild.audit.log`; add it to the outbox in the transaction that makes the entry true. */
export function auditMessage(entry: AuditEntry): BusMessage {
  return { id: entry.id, body: entry }
}
