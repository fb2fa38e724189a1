import type { JsonValue } from '../kernel/json.ts'

/** The closed list of `invocations.reason`. */
export const endReasons = [
  'BUDGET_RUN',
  'BUDGET_AGENT',
  'BUDGET_CHAPTER',
  'BUDGET_ORG',
  'MAX_STEPS',
  'MAX_TOOL_CALLS',
  'DEADLINE',
  'LOOP',
  'CAUSAL_DEPTH',
  'POLICY',
  'PROVIDER',
  'TOOL',
  'CODEX_INVALID',
  'CANCELLED',
  'OVERRIDDEN',
  'POISON',
] as const
export type EndReason = (typeof endReasons)[number]

export interface Ending {
  readonly state: 'COMPLETED' | 'STOPPED' | 'FAILED' | 'DEAD'
  /** null for COMPLETED */
  readonly reason: EndReason | null
  /** a sentence for people */
  readonly detail: string
  readonly summary: string
  readonly output: JsonValue
}

/** What a part of a run may come to instead of going on. */
export type Halt =
  | { readonly kind: 'end'; readonly ending: Ending }
  /** The run lets go of its lease and is tried again; `ending` if it has waited as long as it may. */
  | { readonly kind: 'wait'; readonly delayMs: number; readonly reason: string; readonly ending: Ending }
  /** The run has let go of its lease already; whatever it waits for wakes it. */
  | { readonly kind: 'suspended'; readonly state: 'WAITING_ACTION' | 'WAITING_APPROVAL' }

export function failed(reason: EndReason, detail: string): Ending {
  return { state: 'FAILED', reason, detail, summary: `The run failed: ${detail}`, output: null }
}
