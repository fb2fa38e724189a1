import type { AuditEntry } from '../audit/audit.ts'
import type { Decision } from '../audit/decisions.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { hashId } from '../kernel/ids.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Ruling } from './decide.ts'

/** Rules named in a decision's detail, at most: a Codex with thousands must not make every decision large. */
const consideredMax = 30

/** A reception as `write` takes it: what an event says about itself is taken from its metadata there. */
export function receptionRow(ruling: Ruling): JsonObject {
  const { event, disposition, rule, reason, duplicateOf } = ruling
  const { id, source } = event
  const { receipt_id, delivery_id, body_hash, received_at, ...more } = event.metadata
  const received = { receipt_id, delivery_id, body_hash, received_at }
  if (disposition === 'DUPLICATE') return { id, source, metadata: received, disposition, duplicate_of: duplicateOf }
  const { handoff, subject, actor, causal, ...metadata } = more
  return {
    id,
    type: event.type,
    source,
    payload: event.payload,
    metadata: { ...metadata, ...received, subject: { ...subject }, actor: { ...actor }, causal: { ...causal } },
    ...(handoff && { handoff: { ...handoff } }),
    disposition,
    rule,
    reason,
    invocations: woken(ruling).length,
  }
}

/** The runs that a batch begins. Of an event that another joins the run works on the newest. */
export function invocationRows(batch: readonly Ruling[]): readonly JsonObject[] {
  const joining = new Map<string, GuildEvent[]>()
  for (const { event, wakings } of batch) {
    for (const { into } of wakings) if (into !== null) joining.set(into, [...(joining.get(into) ?? []), event])
  }
  return batch.flatMap((ruling) =>
    woken(ruling).map((waking) => ({
      ...joined(ruling.event, joining.get(waking.invocationId) ?? []),
      ...(waking.slot && { slot_key: waking.slot.key, slots_max: waking.slot.max }),
      id: waking.invocationId,
      agent_id: waking.agentId,
      agent_type: waking.agentType,
      agent_version: waking.agentVersion,
      chapter: waking.chapter,
      event_id: ruling.event.id,
      rule: waking.rule,
      priority: waking.priority,
    })),
  )
}

function joined(lead: GuildEvent, events: readonly GuildEvent[]): JsonObject {
  const newest = [lead, ...events].reduce((a, b) => (b.metadata.occurred_at >= a.metadata.occurred_at ? b : a))
  return { coalesced: events.length, ...(newest !== lead && { latest_event_id: newest.id }) }
}

/** Events that join runs which stand in the table: the newest of them is what the run works on. */
export function joinRows(batch: readonly Ruling[]): readonly JsonObject[] {
  const own = new Set(batch.flatMap((ruling) => woken(ruling).map(({ invocationId }) => invocationId)))
  return batch.flatMap(({ event, wakings }) =>
    wakings.flatMap(({ into, priority }) =>
      into === null || own.has(into)
        ? []
        : [{ run: into, event_id: event.id, occurred_at: event.metadata.occurred_at, priority }],
    ),
  )
}

/** Runs that end because a newer one takes their place. */
export function cancelRows(batch: readonly Ruling[]): readonly JsonObject[] {
  return batch.flatMap(({ event, wakings }) =>
    wakings.flatMap(({ cancels, invocationId }) =>
      cancels.map((run) => ({ run, reason: `${invocationId} for ${event.id} takes its place` })),
    ),
  )
}

/** A decision as `write` takes it, which knows the event, the time and the commit. */
export interface DispatchDecision extends Pick<Decision, 'stage' | 'outcome' | 'rule' | 'reason' | 'detail'> {
  readonly receipt_id: string
  readonly agent_id?: string
  readonly invocation_id?: string | null
}

/** One for the event and one for each agent that was named, also when it was not woken. */
export function decisionsOf(ruling: Ruling): readonly DispatchDecision[] {
  const { event, disposition, rule, reason, considered, nearest, duplicateOf, wakings } = ruling
  const { receipt_id } = event.metadata
  const detail: JsonObject = {
    ...(considered.length > 0 && { considered: considered.slice(0, consideredMax) }),
    ...(considered.length > consideredMax && { considered_more: considered.length - consideredMax }),
    ...(nearest !== null && { nearest }),
    ...(duplicateOf !== null && { duplicate: event.id }),
    ...(event.metadata.causal.depth > 0 && { causal: { ...event.metadata.causal } }),
    ...(event.metadata.marker !== null && { marker: event.metadata.marker, self: event.metadata.self }),
  }
  return [
    { receipt_id, stage: 'dispatch', outcome: disposition, rule, reason, detail },
    ...wakings.map((waking): DispatchDecision => ({
      receipt_id,
      stage: waking.outcome === 'ROUTED' ? 'dispatch' : 'admission',
      outcome: waking.outcome,
      agent_id: waking.agentId,
      invocation_id: waking.outcome === 'ROUTED' ? waking.invocationId : waking.into,
      rule: waking.rule,
      reason: waking.reason,
    })),
    ...wakings.flatMap((waking) =>
      waking.cancels.map((run): DispatchDecision => ({
        receipt_id,
        stage: 'admission',
        outcome: 'CANCELLING',
        agent_id: waking.agentId,
        invocation_id: run,
        rule: waking.rule,
        reason: `${waking.invocationId} takes its place: it stops at its next edge`,
      })),
    ),
  ]
}

export function auditEntry(ruling: Ruling, snapshot: CodexSnapshot, at: string): AuditEntry {
  const { event, disposition, rule, reason, duplicateOf } = ruling
  return {
    id: hashId('aud', 'EVENT_DECIDED', event.metadata.receipt_id),
    timestamp: at,
    event_type: 'EVENT_DECIDED',
    source_event_id: event.id.slice(0, 100),
    payload: {
      type: event.type,
      source: event.source,
      subject: event.metadata.subject.id,
      actor: event.metadata.actor.id,
      receipt_id: event.metadata.receipt_id,
      delivery_id: event.metadata.delivery_id,
      disposition,
      rule,
      reason,
      duplicate_of: duplicateOf,
      agents: woken(ruling).map(({ agentId }) => agentId),
    },
    result: 'SUCCESS',
    trace_id: event.metadata.trace_id,
    actor: 'system:dispatcher',
    codex_commit: snapshot.commit,
  }
}

export function woken(ruling: Ruling): Ruling['wakings'] {
  return ruling.wakings.filter(({ outcome }) => outcome === 'ROUTED')
}
