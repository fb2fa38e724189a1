import type { Artifacts } from '../artifacts/artifacts.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Codex, CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import type { Redactor } from '../guards/privacy/redact.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { BudgetLimit, Ledger } from '../ledger/ledger.ts'
import type { Llm, ModelChoice } from '../llm/llm.ts'
import type { Tools } from '../tools/tools.ts'
import type { Tracer } from '../traces/tracer.ts'
import type { ActionIntake } from './action-intake.ts'
import type { ProviderHealth } from './provider-health.ts'

/** What the executor asks of whoever knows the configured providers. */
export interface Models {
  /** Alias of a manifest → what to call and what it costs, or why not here. */
  choose(snapshot: CodexSnapshot, alias: string): ModelChoice | { readonly unavailable: string }
}

export interface ExecutorDeps {
  readonly database: Database
  readonly outbox: Outbox
  readonly codex: Codex
  readonly llm: Llm
  readonly models: Models
  /** which providers may be called now */
  readonly health: ProviderHealth
  readonly tools: Tools
  readonly artifacts: Artifacts
  readonly ledger: Ledger
  /** Learnt tokens per byte of a model, for agents that bound their input by it; null: not learnt yet. */
  readonly tokensPerByte: (provider: string, model: string) => Promise<number | null>
  /** Everything a model call of this run must fit in, organisation to run. */
  readonly limitsFor: (
    snapshot: CodexSnapshot,
    agent: CompiledAgent,
    chapter: string | null,
    run: { readonly invocationId: string; readonly causalRoot: string },
  ) => readonly BudgetLimit[]
  readonly intake: ActionIntake
  /** takes secrets out of all that is stored and sent; default: by shape and name, without knowing this process's own */
  readonly redactor?: Redactor
  readonly clock: Clock
  readonly log: Log
  readonly tracer?: Tracer
  /** unique per process: the name on the leases */
  readonly owner: string
  /** in [0, 1): jitter */
  readonly random: () => number
  readonly options?: ExecutorOptions
}

export interface ExecutorOptions {
  /** runs at the same time, default 64: most of them wait for a model */
  readonly maxInFlight?: number
  /** how long a silent worker keeps a run, default 15 000 */
  readonly leaseMs?: number
  /** first wait after a provider or a required read has failed, default 2 000; doubles up to 5 min */
  readonly retryBaseMs?: number
}
