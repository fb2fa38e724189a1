import type { ActionGrant } from '../codex/kinds.ts'
import type { CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import type { Queryable } from '../database/database.ts'
import type { DataClass, DetectorClass } from '../kernel/data-class.ts'
import type { JsonValue } from '../kernel/json.ts'
import type { GuildEvent, Integrity, Priority } from '../kernel/event.ts'

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
  /** actions of this type this run has had accepted before */
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

/** What the executor needs of whoever owns the actions table (law 3: agents propose, the action executor writes). */
export interface ActionIntake {
  /** What the model sees as a tool; null: no target knows the type. */
  describe(type: string): { readonly description: string; readonly inputSchema: object } | null
  /**
   * Parses, asks policy, deduplicates by meaning, writes the row, its approval, decision, audit entry and message, all in `tx`.
   * Bad arguments or a refusal are a `denied` receipt with the reason, never an exception.
   */
  propose(tx: Queryable, proposal: ActionProposal): Promise<ActionReceipt>
  /**
   * How awaited actions stand, locked until `tx` ends: an action that ends later finds the run suspended and wakes it with a message to
   * its agent's topic. What is not known is left out.
   */
  outcomes(tx: Queryable, ids: readonly string[]): Promise<readonly ActionOutcome[]>
}
