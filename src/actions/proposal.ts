import type { ActionGrant } from '../codex/kinds.ts'
import type { CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import type { DataClass, DetectorClass } from '../kernel/data-class.ts'
import type { JsonValue } from '../kernel/json.ts'
import type { GuildEvent, Integrity, Priority } from '../kernel/event.ts'

/** What a run proposes. The same shape as the executor's own `ActionProposal`: components do not import one another. */
export interface ActionProposal {
  readonly invocationId: string
  readonly event: GuildEvent
  readonly agent: CompiledAgent
  readonly snapshot: CodexSnapshot
  readonly chapter: string | null
  readonly priority: Priority
  readonly causalRoot: string
  readonly causalDepth: number
  /** hash of (invocation, step, call index): a repeated step proposes the same action */
  readonly actionKey: string
  readonly type: string
  /** as the model wrote them: not yet parsed */
  readonly args: unknown
  /** null: the manifest grants no such action */
  readonly grant: ActionGrant | null
  readonly usedInRun: number
  /** the least trusted text the run has seen */
  readonly integrity: Integrity
  /** the most confidential data the run has read; default internal */
  readonly confidentiality?: DataClass
  /** kinds of secrets that were taken out of `args` before they were stored */
  readonly leaks?: readonly string[]
  /** puts personal data back in the place of its placeholders, where its class may pass */
  readonly restore?: (value: JsonValue, mayPass: (kind: DetectorClass) => boolean) => JsonValue
  readonly provider: string
  readonly model: string
  readonly at: Date
}

/** True, not promised: what the model is told. */
export interface ActionReceipt {
  readonly status: 'queued' | 'shadow' | 'held' | 'needs_approval' | 'denied' | 'duplicate'
  readonly actionId: string | null
  readonly reason: string
}

/** How an action stands. */
export interface ActionOutcome {
  readonly id: string
  readonly state: string
  readonly reason: string | null
  readonly remote_id: string | null
  readonly remote_url: string | null
  /** nothing more will come of it */
  readonly over: boolean
}
