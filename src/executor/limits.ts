import type { AgentManifest } from '../codex/kinds.ts'
import { durationMs } from '../kernel/duration.ts'

/** What a run has used, from its journal: a restart or a retry resets nothing. */
export interface Spent {
  readonly modelCalls: number
  readonly toolCalls: number
  /** input and output, of settled calls */
  readonly tokens: number
  readonly costMicros: number
  readonly activeMs: number
}

export interface RunLimits {
  readonly modelCalls: number
  readonly toolCalls: number
  readonly tokens: number
  readonly costMicros: number
  /** tokens kept for the closing call */
  readonly landingReserve: number
  readonly activeMs: number
}

export type LimitReason = 'MAX_STEPS' | 'MAX_TOOL_CALLS' | 'BUDGET_RUN' | 'DEADLINE'

export type Standing =
  | { readonly kind: 'go'; /** to be said to the model once: the numbers */ readonly steer: string | null }
  | { readonly kind: 'land'; readonly reason: LimitReason; readonly detail: string }

export function runLimits(limits: AgentManifest['spec']['limits']): RunLimits {
  return {
    modelCalls: limits.maxSteps,
    toolCalls: limits.maxToolCalls,
    tokens: limits.tokensPerInvocation,
    costMicros: Math.round(limits.costPerInvocation * 1_000_000),
    landingReserve: limits.landingReserve,
    activeMs: durationMs(limits.maxActiveDuration),
  }
}

/** From this share of a limit on the model is told. */
const steerFrom = 0.8
/** From this share of the time on only the closing call is made, which needs the rest. */
const landingTime = 0.9

/** May the run go on as before, or must the next model call be its closing one? Asked before each model call. */
export function standing(spent: Spent, limits: RunLimits): Standing {
  const calls = `${spent.modelCalls} of ${limits.modelCalls} model calls`
  const tools = `${spent.toolCalls} of ${limits.toolCalls} tool calls`
  const tokens = `${spent.tokens} of ${limits.tokens} tokens`
  const cost = `${spent.costMicros} of ${limits.costMicros} micro-USD`
  const seconds = `${Math.round(spent.activeMs / 1000)} of ${Math.round(limits.activeMs / 1000)} s`
  // The last call allowed is the closing one, so that a limit of 60 is never 61. A run with one call has no other.
  if (spent.modelCalls >= Math.max(1, limits.modelCalls - 1)) return land('MAX_STEPS', calls)
  if (limits.toolCalls > 0 && spent.toolCalls >= limits.toolCalls) return land('MAX_TOOL_CALLS', tools)
  if (spent.activeMs >= limits.activeMs * landingTime) return land('DEADLINE', seconds)
  if (spent.tokens >= limits.tokens - limits.landingReserve) return land('BUDGET_RUN', tokens)
  if (limits.costMicros > 0 && spent.costMicros >= limits.costMicros) return land('BUDGET_RUN', cost)
  const near = [
    spent.modelCalls / limits.modelCalls,
    limits.toolCalls === 0 ? 0 : spent.toolCalls / limits.toolCalls,
    spent.tokens / limits.tokens,
    limits.costMicros === 0 ? 0 : spent.costMicros / limits.costMicros,
    spent.activeMs / limits.activeMs,
  ].some((share) => share >= steerFrom)
  if (!near) return { kind: 'go', steer: null }
  return {
    kind: 'go',
    steer: `This run is near a limit: ${calls}, ${tools}, ${tokens}, ${seconds}. Finish with what you have; make only the calls that matter.`,
  }
}

/**
 * A normal call must leave the landing reserve untouched, in tokens and in money.
 * @param worst input bound and output of the call @param landing of the closing call, with its price at this model
 */
export function fits(worst: Cost, landing: Cost, spent: Spent, limits: RunLimits): boolean {
  return (
    spent.tokens + worst.tokens + landing.tokens <= limits.tokens &&
    (worst.costMicros === 0 || spent.costMicros + worst.costMicros + landing.costMicros <= limits.costMicros)
  )
}

interface Cost {
  readonly tokens: number
  readonly costMicros: number
}

function land(reason: LimitReason, detail: string): Standing {
  return { kind: 'land', reason, detail: `${detail} used` }
}
