import { guild } from '../traces/attributes.ts'
import { spanIds } from '../traces/span-ids.ts'
import type { SpanRecord } from '../traces/tracer.ts'
import type { AuditEntry } from './audit.ts'

/** From the moment that an entry was true to the moment that the chain held it. null: the entry belongs to no trace. */
export function auditSpan(entry: Omit<AuditEntry, 'payload' | 'result'>, endMs: number): SpanRecord | null {
  const { id, trace_id, timestamp, event_type, action_id, invocation_id, source_event_id } = entry
  const parentId = action_id
    ? spanIds.action(action_id)
    : invocation_id
      ? spanIds.run(invocation_id)
      : source_event_id
        ? spanIds.dispatch(source_event_id)
        : null
  if (!trace_id || parentId === null) return null
  return {
    traceId: trace_id,
    spanId: spanIds.audit(id),
    parentId,
    name: `append_audit ${event_type}`,
    kind: 'consumer',
    startMs: Date.parse(timestamp),
    endMs,
    attributes: { [guild.auditType]: event_type, [guild.invocationId]: invocation_id, [guild.actionId]: action_id },
    error: null,
  }
}
