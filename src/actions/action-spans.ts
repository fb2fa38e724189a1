import type { GuildEvent } from '../kernel/event.ts'
import { guild } from '../traces/attributes.ts'
import { spanIds } from '../traces/span-ids.ts'
import type { SpanRecord } from '../traces/tracer.ts'
import type { LaneHead } from './action-row.ts'
import type { RecordedAction } from './records.ts'

const verbs: Readonly<Record<string, string>> = { EXECUTING: 'execute_action', PROBING: 'probe_action' }

/** One step of an action in its lane: a call, a look whether it had been made, or an end without either. */
export function moveSpan(
  head: LaneHead,
  next: { readonly state: string; readonly confirmedBy?: string | null },
  now: Date,
): SpanRecord {
  const endMs = now.getTime()
  const went = ['SUCCEEDED', 'SHADOWED', 'PROPOSED'].includes(next.state)
  return {
    traceId: head.trace_id,
    spanId: spanIds.move(head.id, head.lease_epoch, head.state),
    parentId: spanIds.action(head.id),
    name: `${verbs[head.state] ?? 'settle_action'} ${head.type}`,
    kind: head.state === 'EXECUTING' || head.state === 'PROBING' ? 'client' : 'internal',
    startMs: head.state === 'EXECUTING' ? (head.sent_at?.getTime() ?? endMs) : endMs,
    endMs,
    attributes: {
      ...factsOf(head),
      [guild.connector]: head.connector,
      [guild.attempt]: head.attempts,
      [guild.actionState]: next.state,
      [guild.confirmedBy]: next.confirmedBy,
    },
    error: went ? null : next.state,
  }
}

/** Our own write came back as an event: told in the trace of the run that wanted it, linked to the trace of the delivery. */
export function confirmSpan(action: RecordedAction, echo: GuildEvent, now: Date): SpanRecord {
  const { trace_id: traceId, received_at } = echo.metadata
  return {
    traceId: action.trace_id,
    spanId: spanIds.confirm(action.id),
    parentId: spanIds.action(action.id),
    name: `confirm_action ${action.type}`,
    kind: 'internal',
    startMs: Date.parse(received_at),
    endMs: now.getTime(),
    attributes: { ...factsOf(action), [guild.actionState]: 'SUCCEEDED', [guild.confirmedBy]: 'echo' },
    error: null,
    links: [{ traceId, spanId: spanIds.receive(traceId) }],
  }
}

function factsOf(action: RecordedAction) {
  return {
    [guild.actionId]: action.id,
    [guild.actionType]: action.type,
    [guild.actionTarget]: action.target,
    [guild.invocationId]: action.invocation_id,
    [guild.eventId]: action.event_id,
    [guild.codexCommit]: action.codex_commit,
  }
}
