import type { CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import { backoffMs } from '../kernel/backoff.ts'
import type { RunPrivacy } from '../guards/privacy/run-privacy.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { leastTrusted } from '../guards/context-guard.ts'
import type { Integrity } from '../kernel/event.ts'
import type { ExecutorDeps } from './executor-deps.ts'
import type { BudgetView } from './degrade.ts'
import type { Journal } from './journal.ts'
import type { Guarded } from './run-guard.ts'
import type { Spent } from './limits.ts'
import { read } from './step.ts'
import type { ToolReader } from './tool-reader.ts'

/** One run in progress, as its six steps share it. All that matters is in the journal; this only holds the way to it. */
export interface Run {
  readonly deps: ExecutorDeps
  readonly journal: Journal
  readonly event: GuildEvent
  readonly snapshot: CodexSnapshot
  readonly agent: CompiledAgent
  /** the agent's chapter, else the event's */
  readonly chapter: string | null
  readonly tools: ToolReader
  /** what stands between what the run reads and whom it tells */
  readonly privacy: RunPrivacy
  /** the guard as it was made for this attempt, with `privacy` and `event` */
  readonly guarded: Guarded
  readonly budget: BudgetView
  /** the claim of this attempt */
  readonly claimedAtMs: number
  /** aborts when the process drains or the lease is lost */
  readonly signal: AbortSignal
  /** before what costs money @throws GUILD_LEASE_LOST */
  readonly checkLease: () => Promise<void>
}

export function activeMs({ deps, journal, claimedAtMs }: Run): number {
  return journal.invocation.active_ms + Math.max(0, deps.clock.now().getTime() - claimedAtMs)
}

/** What took so long is not to be done again, and who cancelled in the meantime is to be heard: it is written at once. */
const heldMsMax = 250

export function isLong({ deps }: Run, beganMs: number): boolean {
  return deps.clock.now().getTime() - beganMs > heldMsMax
}

/** What the run has used, from the journal alone. */
export function spentBy(run: Run): Spent {
  const steps = run.journal.all
  const usage = steps.flatMap((step) =>
    step.kind === 'llm' && step.status !== 'INTENT' ? (read.modelUsage(step) ?? []) : [],
  )
  return {
    // One that was lost with its worker may have been made, and paid.
    modelCalls: steps.filter(
      (s) => s.kind === 'llm' && (s.status === 'DONE' || s.status === 'LOST') && !free(read.modelRequest(s).provider),
    ).length,
    toolCalls: steps.filter((s) => ['tool_read', 'action', 'handoff'].includes(s.kind) && s.status === 'DONE').length,
    tokens: usage.reduce(
      (sum, u) => sum + u.inputNocache + u.inputCacheRead + u.inputCacheWrite + u.outputText + u.outputReasoning,
      0,
    ),
    costMicros: usage.reduce((sum, u) => sum + u.costMicros, 0),
    activeMs: activeMs(run),
  }
}

/** Providers that ask nobody and cost nothing: no reservation, no price, no limit of model calls. */
export function free(provider: string): boolean {
  return provider === 'rules' || provider === 'replay'
}

/** The least trusted text that had been shown to the model before step `seq`. Only ever falls. */
export function integrityBefore(run: Run, seq: number): Integrity {
  const seen = run.journal.done.flatMap((step): Integrity[] => {
    if (step.seq >= seq) return []
    if (step.kind === 'context') {
      const { outcome, integrity } = read.context(step)
      return outcome === 'read' ? [integrity] : []
    }
    return step.kind === 'tool_read' ? [read.tool(step).integrity] : []
  })
  return seen.reduce(leastTrusted, run.event.metadata.actor.integrity)
}

/** Jittered wait after the n-th failure. */
export function waitMs({ options, random }: ExecutorDeps, failures: number, retryAfterMs = 0): number {
  return backoffMs(failures, { baseMs: options?.retryBaseMs ?? 2_000, maxMs: 300_000 }, random(), retryAfterMs)
}
