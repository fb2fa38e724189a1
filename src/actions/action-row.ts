import type { DataClass } from '../kernel/data-class.ts'
import type { Integrity, Priority } from '../kernel/event.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Breaker } from '../kernel/breaker.ts'
import type { ActionReceipt } from './proposal.ts'

export const actionStates = [
  'PROPOSED',
  'HELD',
  'APPROVED',
  'READY',
  'EXECUTING',
  'SUCCEEDED',
  'RETRY',
  'AMBIGUOUS',
  'PROBING',
  'PARKED',
  'SHADOWED',
  'FAILED',
  'UNDONE',
  'EXPIRED',
  'DENIED',
] as const
export type ActionState = (typeof actionStates)[number]

/** Nothing more will come of it by itself. */
export const finalStates: ReadonlySet<string> = new Set<ActionState>([
  'SUCCEEDED',
  'SHADOWED',
  'FAILED',
  'UNDONE',
  'EXPIRED',
  'DENIED',
])

/** What every reader of an action needs of it. */
export interface ActionRow {
  readonly id: string
  readonly invocation_id: string | null
  readonly agent_id: string
  readonly event_id: string
  readonly trace_id: string
  readonly chapter: string | null
  readonly priority: Priority
  readonly type: string
  readonly connector: string
  readonly target_system: string
  readonly target: string
  readonly args: JsonObject
  /** the least trusted text its run had seen */
  readonly integrity: Integrity
  /** the most confidential data its run had read */
  readonly confidentiality: DataClass
  readonly codex_commit: string
  /** its run has let go of its lease until this is over */
  readonly awaited: boolean
  /** the action that this one takes back */
  readonly undo_of: string | null
  /** the person who asked for it; null: an agent */
  readonly requested_by: string | null
  /** the target as the decision saw it; null: not compared */
  readonly expected: JsonObject | null
}

/** What the head of a lane is, with the health of its connector. */
export interface LaneHead extends ActionRow {
  readonly args_hash: string
  readonly autonomy: number
  readonly receipt: { readonly status?: ActionReceipt['status'] }
  readonly state: 'HELD' | 'READY' | 'EXECUTING' | 'RETRY' | 'AMBIGUOUS' | 'PROBING'
  readonly reason: string | null
  readonly marker: string
  readonly attempts: number
  readonly probes: number
  readonly lease_epoch: number
  readonly lease_until: Date | null
  readonly next_at: Date
  readonly sent_at: Date | null
  readonly expires_at: Date
  readonly used_before: number
  readonly previous_remote_id: string | null
  readonly before: JsonObject | null
  /** hash of the newest approval given; null: none */
  readonly approved_hash: string | null
  readonly breaker_state: Breaker['state'] | null
  readonly breaker_failures: number | null
  readonly breaker_since: Date | null
  readonly breaker_openings: number | null
  readonly breaker_retry_at: Date | null
  readonly breaker_next_at: Date | null
}
