import type { Disposition, GuildEvent } from '../kernel/event.ts'
import { guild } from './attributes.ts'
import { spanIds } from './span-ids.ts'
import type { SpanLink, SpanRecord } from './tracer.ts'

/** What the gateway did with one delivery; `event` is the first of those it held. */
export function receiveSpan(
  event: GuildEvent,
  told: { readonly endMs: number; readonly link?: SpanLink | null; readonly retold?: boolean },
): SpanRecord {
  const { metadata } = event
  return {
    traceId: metadata.trace_id,
    spanId: spanIds.receive(metadata.trace_id),
    parentId: null,
    name: `receive ${event.source}`,
    kind: 'server',
    startMs: Date.parse(metadata.received_at),
    endMs: told.endMs,
    attributes: {
      [guild.source]: event.source,
      [guild.connector]: metadata.connector,
      [guild.deliveryId]: metadata.delivery_id,
      [guild.eventId]: event.id,
      [guild.retold]: told.retold,
    },
    error: null,
    ...(told.link && { links: [told.link] }),
  }
}

export interface DispatchFacts {
  readonly startMs: number
  readonly endMs: number
  readonly disposition: Disposition
  readonly rule: string | null
  readonly codexCommit: string
  /** the first event of the same fact; null: this is the first */
  readonly duplicateOf?: string | null
  readonly agents?: readonly string[]
  readonly retold?: boolean
}

/** What the dispatcher decided about one event. */
export function dispatchSpan(event: GuildEvent, facts: DispatchFacts): SpanRecord {
  const { metadata } = event
  // The same delivery a second time: the span of the first decision stays as it is.
  const again = facts.duplicateOf === event.id
  return {
    traceId: metadata.trace_id,
    spanId: again ? spanIds.duplicate(metadata.receipt_id) : spanIds.dispatch(event.id),
    parentId: metadata.origin === 'webhook' ? spanIds.receive(metadata.trace_id) : null,
    name: `dispatch ${event.type}`,
    kind: 'consumer',
    startMs: facts.startMs,
    endMs: facts.endMs,
    attributes: {
      [guild.eventId]: event.id,
      [guild.eventType]: event.type,
      [guild.receiptId]: metadata.receipt_id,
      [guild.priority]: metadata.priority,
      [guild.disposition]: facts.disposition,
      [guild.rule]: facts.rule,
      [guild.codexCommit]: facts.codexCommit,
      [guild.causalRoot]: metadata.causal.root,
      [guild.causalDepth]: metadata.causal.depth,
      [guild.causalParent]: metadata.causal.parent,
      [guild.agents]: facts.agents && facts.agents.length > 0 ? facts.agents : null,
      [guild.retold]: facts.retold,
    },
    error: facts.disposition === 'DEAD' ? 'DEAD' : null,
  }
}
