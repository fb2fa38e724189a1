import type { CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import type { ActionPolicyInput } from '../guards/action-policy.ts'
import { threadOf } from '../guards/thread.ts'
import type { Outbound } from '../guards/privacy/outbound.ts'
import { toolClass } from '../guards/privacy/tool-class.ts'
import type { DataClass } from '../kernel/data-class.ts'
import type { Integrity } from '../kernel/event.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { ActionRow } from './action-row.ts'

/** What conditions know of the event that woke the run. */
export interface EventFacts {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly timestamp: string
  readonly payload: JsonObject
  readonly metadata: object
}

export interface PolicySubject {
  readonly type: string
  readonly system: string
  readonly connector: string
  readonly target: string
  readonly args: JsonObject
  readonly chapter: string | null
  readonly integrity: Integrity
  readonly usedInRun: number
  readonly agent: CompiledAgent
  readonly grant: ActionPolicyInput['grant']
  /** null: not known any more; conditions that read it then refuse */
  readonly event: EventFacts | null
  readonly at: Date
}

/** The policy's input from a snapshot: the pinned one when an action is proposed, the current one when it is carried out. */
export function policyInput(
  subject: PolicySubject,
  snapshot: CodexSnapshot,
  live: readonly string[],
): ActionPolicyInput {
  const { agent, event } = subject
  const { metadata } = agent.manifest
  return {
    type: subject.type,
    target: subject.target,
    grant: subject.grant,
    agent,
    chapter: subject.chapter === null ? null : (snapshot.chapters.get(subject.chapter) ?? null),
    chapterMissing: subject.chapter === null || snapshot.chapters.has(subject.chapter) ? null : subject.chapter,
    policies: snapshot.policies,
    denials: snapshot.denials,
    facts: {
      action: {
        type: subject.type,
        system: subject.system,
        connector: subject.connector,
        target: subject.target,
        args: subject.args,
      },
      agent: {
        id: agent.id,
        type: metadata.type,
        chapter: subject.chapter,
        version: metadata.version,
        owner: metadata.owner,
      },
      trust: { integrity: subject.integrity },
      context: {},
      ...(event && { event, payload: event.payload, metadata: event.metadata }),
    },
    thread: threadOf(event),
    at: subject.at,
    integrity: subject.integrity,
    usedInRun: subject.usedInRun,
    connectorMode: snapshot.connectors.get(subject.connector)?.spec.mode ?? 'shadow',
    live: live.includes(subject.connector) || live.includes(subject.system),
  }
}

/** What denials know of an undo; the agent may be gone from the Codex. */
export function undoFacts(
  action: ActionRow,
  snapshot: CodexSnapshot,
  event: EventFacts | null,
): Readonly<Record<string, unknown>> {
  const { type, target_system: system, connector, target, args, agent_id: id, chapter, integrity } = action
  const metadata = snapshot.agents.get(id)?.manifest.metadata
  return {
    action: { type, system, connector, target, args },
    agent: { id, chapter, ...(metadata && { type: metadata.type, version: metadata.version, owner: metadata.owner }) },
    trust: { integrity },
    context: {},
    ...(event && { event, payload: event.payload, metadata: event.metadata }),
  }
}

/** Does what is sent to the connector leave this machine? */
export function isLive(
  action: { readonly connector: string; readonly target_system: string },
  snapshot: CodexSnapshot,
  live: readonly string[],
): boolean {
  const { connector, target_system: system } = action
  return snapshot.connectors.get(connector)?.spec.mode === 'live' || live.includes(connector) || live.includes(system)
}

/** What the privacy guard is told of an action: when it is proposed, and again before it is carried out. */
export function outboundOf(
  action: Pick<PolicySubject, 'connector' | 'target' | 'args'> & { readonly confidentiality: DataClass },
  leaks: readonly string[],
  { connectors, privacy }: CodexSnapshot,
): Outbound {
  const { connector, target, args, confidentiality } = action
  return { target, args, leaks, confidentiality, holds: toolClass(connectors, connector), privacy }
}

/** Does deciding this action take the event? Reading it back costs a query, so it is done only when a condition will look. */
export function readsEvent(type: string, grant: ActionPolicyInput['grant'], snapshot: CodexSnapshot): boolean {
  const denial = snapshot.denials.some(({ action, when }) => when !== null && (action === '*' || action === type))
  return denial || grant?.when !== undefined || grant?.within !== undefined
}

/** The connector that carries an action: the event's own where it speaks to the system, else the first that does, else the system's name. */
export function connectorFor(system: string, eventConnector: string, snapshot: CodexSnapshot): string {
  if (snapshot.connectors.get(eventConnector)?.spec.system === system) return eventConnector
  for (const [name, file] of snapshot.connectors) if (file.spec.system === system) return name
  return system
}
