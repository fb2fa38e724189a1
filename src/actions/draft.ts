import type { ActionVerdict } from '../guards/action-policy.ts'
import { actionPolicy } from '../guards/action-policy.ts'
import { outboundVerdict, stricter } from '../guards/privacy/outbound.ts'
import { type Redactor, standardRedactor } from '../guards/privacy/redact.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import { durationMs } from '../kernel/duration.ts'
import { hashId } from '../kernel/ids.ts'
import type { JsonObject } from '../kernel/json.ts'
import { connectorFor, outboundOf, policyInput } from './action-facts.ts'
import type { ActionProposal, ActionReceipt } from './proposal.ts'
import type { ActionType } from './target.ts'

/** A proposal whose arguments the type has read. */
export interface ReadProposal {
  readonly system: string
  readonly type: ActionType
  readonly args: JsonObject
  readonly argsHash: string
  readonly target: string
}

export type Draft = ReturnType<typeof draftOf>

/** The row that a proposal becomes: judged, named and dated, not yet written. */
export function draftOf(
  proposal: ActionProposal,
  read: ReadProposal,
  live: readonly string[],
  redactor: Redactor = standardRedactor,
) {
  const { event, agent, snapshot } = proposal
  const id = hashId('act', proposal.actionKey)
  const connector = connectorFor(read.system, event.metadata.connector, snapshot)
  const subject = { ...proposal, system: read.system, connector, target: read.target, args: read.args }
  const confidentiality = proposal.confidentiality ?? 'internal'
  const leaks = proposal.leaks ?? []
  const outbound = outboundVerdict(outboundOf({ ...subject, confidentiality }, leaks, snapshot), redactor)
  const verdict = stricter(actionPolicy(policyInput(subject, snapshot, live)), outbound)
  // In shadow nothing leaves: there is nothing to hold back.
  const holdMs = verdict.shadow ? 0 : verdict.holdMs
  const due = new Date(proposal.at.getTime() + holdMs)
  const expires = new Date(due.getTime() + durationMs(proposal.grant?.expires ?? '24h'))
  const receipt = receiptOf(verdict, read.target, holdMs)
  return {
    id,
    action_key: proposal.actionKey,
    dedupe_key: dedupeKey(read.type, connector, read.target, read.args),
    invocation_id: proposal.invocationId,
    agent_id: agent.id,
    event_id: event.id,
    trace_id: event.metadata.trace_id,
    causal_root: proposal.causalRoot,
    causal_depth: proposal.causalDepth,
    chapter: proposal.chapter,
    priority: proposal.priority,
    type: read.type.type,
    connector,
    target_system: read.system,
    target: read.target,
    args: read.args,
    args_hash: read.argsHash,
    autonomy: verdict.autonomy,
    rule: verdict.rule,
    integrity: proposal.integrity,
    confidentiality,
    receipt,
    state: stateOf[receipt.status],
    hold_until: holdMs > 0 ? due.toISOString() : null,
    next_at: due.toISOString(),
    awaited: proposal.grant?.await === true,
    reason: verdict.reason,
    marker: `guild:${id}`,
    expires_at: expires.toISOString(),
    provider: proposal.provider,
    model: proposal.model,
    codex_commit: snapshot.commit,
    created_at: proposal.at.toISOString(),
  } as const
}

const stateOf = {
  queued: 'READY',
  shadow: 'READY',
  held: 'HELD',
  needs_approval: 'PROPOSED',
  denied: 'DENIED',
  duplicate: 'DENIED',
} as const

function receiptOf(verdict: ActionVerdict, target: string, holdMs: number): Omit<ActionReceipt, 'actionId'> {
  if (verdict.verdict === 'ask')
    return { status: 'needs_approval', reason: `a person must approve it first: ${verdict.reason}` }
  if (verdict.verdict !== 'run') return { status: 'denied', reason: verdict.reason }
  if (holdMs > 0) {
    const reason = `accepted; it is held for ${Math.ceil(holdMs / 1000)} s, in which a person may stop it, then carried out on ${target}`
    return { status: 'held', reason }
  }
  return verdict.shadow
    ? { status: 'shadow', reason: `rendered and recorded, not sent: writes to ${target} are in shadow mode` }
    : { status: 'queued', reason: `accepted; it will be carried out on ${target}, in order` }
}

/** null: this type is never deduplicated by meaning. */
export function dedupeKey(type: ActionType, connector: string, target: string, args: JsonObject): string | null {
  const meaning = type.meaning(args)
  return meaning === null ? null : canonicalHash([type.type, connector, target.toLowerCase(), meaning])
}
