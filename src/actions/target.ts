import type { z } from 'zod'
import type { JsonObject } from '../kernel/json.ts'

/** The exact call, as it is (or in shadow: would be) sent. Secrets are redacted: it is stored and shown. */
export interface RenderedRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

export interface ActionCall {
  readonly actionId: string
  /** `guild:act_…`, to be hidden in what is created */
  readonly marker: string
  readonly type: string
  readonly agentId: string
  /** what this agent's last successful action of the type on the target made, if it is known: to be updated rather than doubled */
  readonly previousRemoteId: string | null
  /** the resource, e.g. `octo/shop#12`: one action in flight per target */
  readonly target: string
  readonly args: JsonObject
  /** nothing that creates may be sent after this instant: the lease that protects the call is about to lapse */
  readonly notAfter: Date
}

/** What a call came to. `unknown` (timeout after sending, reset, 5xx) is never retried blindly: it is probed. */
export type Outcome =
  | { readonly kind: 'done'; readonly remoteId: string; readonly url: string | null; readonly detail: JsonObject }
  | { readonly kind: 'not-done'; readonly reason: string; readonly retryAfterMs: number; readonly rateLimited: boolean }
  | { readonly kind: 'rejected'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string }

export type Probe =
  | { readonly kind: 'found'; readonly remoteId: string; readonly url: string | null; readonly detail: JsonObject }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown'; readonly reason: string; readonly retryAfterMs: number }

export interface ActionType {
  readonly type: string
  readonly description: string
  readonly args: z.ZodType<JsonObject>
  /** the resource that orders and locks, from valid arguments */
  target(args: JsonObject): string
  /** what makes two actions the same idea, beside type and target; null: never deduplicated by meaning */
  meaning(args: JsonObject): unknown
  readonly dedupeWindowMs: number
  /** a later action on the target replaces this one's effect (a label, one updated comment): then the same idea is new again */
  readonly stateful: boolean
  readonly reversible: 'yes' | 'compensable' | 'no'
}

/**
 * One external system, written to by nobody else. Client retries are off. `execute` never throws for what the system answered: it
 * classifies (facts: edges 3.1, 3.3). It must put `call.marker` where `probe` finds it.
 */
export interface Target {
  readonly system: string
  readonly types: readonly ActionType[]
  render(call: ActionCall): Promise<RenderedRequest>
  execute(call: ActionCall, signal: AbortSignal): Promise<Outcome>
  probe(call: ActionCall, sentAt: Date, signal: AbortSignal): Promise<Probe>
  /** wait before the first probe: the system's read-after-write lag */
  readonly probeAfterMs: readonly number[]
  /** least time between two calls of `execute`, over all processes; 0: no pacing */
  readonly minIntervalMs: number
}
