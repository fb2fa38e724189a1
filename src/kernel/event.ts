import type { DataClass } from './data-class.ts'
import type { JsonObject } from './json.ts'

/** P0 … P4. `CRITICAL` jumps every queue; `NORMAL` is the default. */
export const priorities = ['CRITICAL', 'HIGH', 'NORMAL', 'LOW', 'BACKGROUND'] as const
export type Priority = (typeof priorities)[number]

/** How far the words of an actor may be trusted; the lower, the further right. Set by the source from signed data only. */
export const integrities = ['verified', 'member', 'outsider', 'public'] as const
export type Integrity = (typeof integrities)[number]

export interface Subject {
  /** e.g. `pull_request`, `issue`, `branch`, `repository`, `ticket` */
  readonly kind: string
  /** e.g. `octo/shop#12`, `octo/shop@main` */
  readonly id: string
  readonly url: string | null
}

export interface Actor {
  readonly kind: 'user' | 'bot' | 'system'
  readonly id: string
  readonly display: string
  readonly integrity: Integrity
}

/** Where an event stands in the tree of causes that began with `root` (an event id). Depth 0 has no parent. */
export interface Causal {
  readonly root: string
  readonly depth: number
  /** the invocation that caused this event, if one of ours did */
  readonly parent: string | null
}

/** What an agent that hands work on leaves to the one that takes it: everything in it only narrows. */
export interface Handoff {
  /** agents: who takes it, and who gave it */
  readonly to: string
  readonly from: string
  /** hand-offs in a row, this one included */
  readonly depth: number
  /** most that any of its actions may have */
  readonly autonomy: number
  /** the most confidential data the giver had read */
  readonly confidentiality: DataClass
  readonly tokens: number
  readonly cost_micros: number
}

export interface EventMetadata {
  readonly schema_version: 1
  /** W3C trace id: 32 lower-case hex digits */
  readonly trace_id: string
  readonly priority: Priority
  readonly occurred_at: string
  readonly received_at: string
  /** The sender's own id of the transport; the same on a redelivery. */
  readonly delivery_id: string
  /** One per reception: two receptions of one delivery differ. Received = sum of dispositions is counted by it. */
  readonly receipt_id: string
  /** The fact. The same fact through two hooks, a poll or a redelivery has the same key. Unique per source. */
  readonly dedup_key: string
  /** SHA-256 (hex) of the raw body where the signature covers only the body; else null. Detects a replay under a forged id. */
  readonly body_hash: string | null
  readonly subject: Subject
  readonly actor: Actor
  readonly correlation_id: string | null
  readonly origin: 'webhook' | 'poll' | 'reconcile' | 'manual' | 'schedule' | 'handoff'
  /** Name of the connector in the Codex (default: the source's name) */
  readonly connector: string
  readonly chapter: string | null
  /** The actor is our own bot, or the payload carries our marker. Confirmed by the dispatcher against the actions table. */
  readonly self: boolean
  /** `act_…` found in the payload's text as our marker; a claim until the dispatcher has confirmed it */
  readonly marker: string | null
  readonly causal: Causal
  /** set on AGENT_HANDOFF, which the executor writes */
  readonly handoff?: Handoff
}

/** The seed's message schema: what every source, however it arrives, becomes. */
export interface GuildEvent {
  /** `evt_` + hash of source, delivery and index: a redelivery is the same event */
  readonly id: string
  readonly timestamp: string
  readonly type: string
  readonly source: string
  readonly payload: JsonObject
  readonly metadata: EventMetadata
}

/** Every event ends in exactly one of these (law 5). */
export const dispositions = [
  'DUPLICATE',
  'SELF_ECHO',
  'LOOP_STOPPED',
  'UNMAPPED',
  'UNROUTED',
  'FILTERED',
  'COALESCED',
  'RATE_LIMITED',
  'OVER_BUDGET',
  'MUTED',
  'DEAD',
  'ROUTED',
] as const
export type Disposition = (typeof dispositions)[number]
