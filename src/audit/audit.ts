import { type Redactor, standardRedactor, withheldStub } from '../guards/privacy/redact.ts'
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

/**
 * The message for `guild.audit.log`; add it to the outbox in the transaction that makes the entry true. Secrets are taken out here: the
 * message is a row too, and the chain keeps it for ever.
 */
export function auditMessage(entry: AuditEntry, redactor: Redactor = standardRedactor): BusMessage {
  const { payload, error_message: error } = entry
  const clean = redactor.stored(payload, { withheld: withheldStub })
  const body = {
    ...entry,
    payload: clean,
    ...(typeof error === 'string' && { error_message: redactor.storedText(error) }),
  }
  return { id: entry.id, body }
}

/** The same for many: one look tells whether any of them need be looked at alone. */
export function auditMessages(
  entries: readonly AuditEntry[],
  redactor: Redactor = standardRedactor,
): readonly BusMessage[] {
  const texts = entries.map(({ payload, error_message: error }) => ({ payload, error: error ?? null }))
  if (redactor.isClean(texts)) return entries.map((entry) => ({ id: entry.id, body: entry }))
  return entries.map((entry) => auditMessage(entry, redactor))
}
