import type { AuditEntry } from '../audit/audit.ts'
import type { Decision } from '../audit/decisions.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import { hashId } from '../kernel/ids.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Ruling } from './decide.ts'

/** Rules named in a decision's detail, at most: a Codex with thousands must not make every decision large. */
const consideredMax = 30

export function eventRow(ruling: Ruling, snapshot: CodexSnapshot, at: string): JsonObject {
  const { event, disposition, rule, reason } = ruling
  const { handoff, ...metadata } = event.metadata
  return {
    id: event.id,
    type: event.type,
    source: event.source,
    connector: metadata.connector,
    chapter: metadata.chapter,
    priority: metadata.priority,
    trace_id: metadata.trace_id,
    subject_kind: metadata.subject.kind,
    subject_id: metadata.subject.id,
    actor: metadata.actor.id,
    dedup_key: metadata.dedup_key,
    payload: event.payload,
    metadata: {
      ...metadata,
      subject: { ...metadata.subject },
      actor: { ...metadata.actor },
      causal: { ...metadata.causal },
      ...(handoff && { handoff: { ...handoff } }),
    },
    occurred_at: metadata.occurred_at,
    received_at: metadata.received_at,
    causal_root: metadata.causal.root,
    causal_depth: metadata.causal.depth,
    causal_parent: metadata.causal.parent,
    disposition,
    rule,
    reason,
    invocations: woken(ruling).length,
    codex_commit: snapshot.commit,
    decided_at: at,
  }
}

export function receiptRow({ event, disposition, duplicateOf }: Ruling): JsonObject {
  return {
    id: event.metadata.receipt_id,
    event_id: event.id,
    duplicate_of: duplicateOf,
    source: event.source,
    delivery_id: event.metadata.delivery_id,
    body_hash: event.metadata.body_hash,
    disposition,
    received_at: event.metadata.received_at,
  }
}

/** @param batch all rulings of the batch: those whose events join a run that is written with them */
export function invocationRows(
  ruling: Ruling,
  batch: readonly Ruling[],
  snapshot: CodexSnapshot,
  at: string,
): readonly JsonObject[] {
  const { event } = ruling
  const { causal, trace_id } = event.metadata
  return woken(ruling).map((waking) => ({
    ...joined(waking.invocationId, ruling, batch),
    handoff: event.metadata.handoff ? { ...event.metadata.handoff } : null,
    slot_key: waking.slot?.key ?? null,
    slots_max: waking.slot?.max ?? null,
    id: waking.invocationId,
    agent_id: waking.agentId,
    agent_type: waking.agentType,
    agent_version: waking.agentVersion,
    chapter: waking.chapter,
    event_id: event.id,
    trace_id,
    causal_root: causal.root,
    causal_depth: causal.depth,
    parent_id: causal.parent,
    codex_commit: snapshot.commit,
    snapshot_hash: snapshot.hash,
    rule: waking.rule,
    priority: waking.priority,
    queued_at: at,
  }))
}

function joined(invocationId: string, lead: Ruling, batch: readonly Ruling[]): JsonObject {
  const events = batch
    .filter(({ wakings }) => wakings.some(({ into }) => into === invocationId))
    .map(({ event }) => event)
  const newest = [lead.event, ...events].reduce((a, b) => (b.metadata.occurred_at >= a.metadata.occurred_at ? b : a))
  return { coalesced: events.length, latest_event_id: newest === lead.event ? null : newest.id }
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
      cancels.map((run) => ({ run, event_id: event.id, reason: `${invocationId} for ${event.id} takes its place` })),
    ),
  )
}

/** One for the event and one for each agent that was named, also when it was not woken. */
export function decisionsOf(ruling: Ruling, snapshot: CodexSnapshot, at: string): readonly Decision[] {
  const { event, disposition, rule, reason, considered, nearest, duplicateOf, wakings } = ruling
  const common = {
    at,
    event_id: duplicateOf ?? event.id,
    receipt_id: event.metadata.receipt_id,
    codex_commit: snapshot.commit,
  }
  const detail: JsonObject = {
    ...(considered.length > 0 && { considered: considered.slice(0, consideredMax).map((item) => ({ ...item })) }),
    ...(considered.length > consideredMax && { considered_more: considered.length - consideredMax }),
    ...(nearest !== null && { nearest }),
    ...(duplicateOf !== null && { duplicate: event.id }),
    ...(event.metadata.causal.depth > 0 && { causal: { ...event.metadata.causal } }),
    ...(event.metadata.marker !== null && { marker: event.metadata.marker, self: event.metadata.self }),
  }
  return [
    { ...common, stage: 'dispatch', outcome: disposition, rule, reason, detail },
    ...wakings.map((waking): Decision => ({
      ...common,
      stage: waking.outcome === 'ROUTED' ? 'dispatch' : 'admission',
      outcome: waking.outcome,
      agent_id: waking.agentId,
      invocation_id: waking.outcome === 'ROUTED' ? waking.invocationId : waking.into,
      rule: waking.rule,
      reason: waking.reason,
    })),
    ...wakings.flatMap((waking) =>
      waking.cancels.map((run): Decision => ({
        ...common,
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
