import type { z } from 'zod'
import type { CallRate } from '../kernel/call-rate.ts'
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

/** Nothing that creates is begun later than so long after its intent. */
export const createWithinMs = 10_000

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

/** What a call finds and what it makes of it, by names that a person understands. Only what matters to the call: else all is drift. */
export interface Comparison {
  readonly before: JsonObject
  readonly after: JsonObject
}

export type Look =
  | { readonly kind: 'seen'; readonly comparison: Comparison }
  /** the type has nothing that is cheap to read, as what it makes is new */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'unknown'; readonly reason: string; readonly retryAfterMs: number }

/** A successful action, as its inverse needs it. */
export interface DoneAction {
  readonly args: JsonObject
  readonly remoteId: string | null
  readonly url: string | null
  readonly remote: JsonObject | null
  /** what the target was before it; null: not read */
  readonly before: JsonObject | null
  readonly rendered: RenderedRequest | null
}

export type Inverse =
  | {
      readonly kind: 'inverse'
      readonly type: string
      readonly args: JsonObject
      /** `before` of a look, as long as nobody has touched it since */
      readonly expected: JsonObject
    }
  /** it changed nothing, or too little is known of it */
  | { readonly kind: 'none'; readonly reason: string }

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
  /** `reversible`: as if it had not been; `compensable`: taken back, though people may have read it; `permanent`: neither */
  readonly undo: 'reversible' | 'compensable' | 'permanent'
  /** The action that takes it back; absent on permanent ones, and on inverses. */
  inverse?(done: DoneAction): Inverse
  /** Taking it back needs what was there before: the target is read before the call. */
  keepsBefore?(call: ActionCall): boolean
}

/**
 * One external system, written to by nobody else. Client retries are off. `execute` never throws for what the system answered: it
 * classifies (facts: edges 3.1, 3.3). It must put `call.marker` where `probe` finds it.
 */
export interface Target {
  readonly system: string
  /** what agents may propose */
  readonly types: readonly ActionType[]
  render(call: ActionCall): Promise<RenderedRequest>
  execute(call: ActionCall, signal: AbortSignal): Promise<Outcome>
  probe(call: ActionCall, sentAt: Date, signal: AbortSignal): Promise<Probe>
  /** Reads what the call would change. */
  look(call: ActionCall, signal: AbortSignal): Promise<Look>
  /**
   * When it is looked for, after `sent_at`: the first is the system's read-after-write lag. The last decides that a call never arrived, so
   * it comes after a call begun at the last moment (`createWithinMs`), as long as the system may work on it, and that lag again.
   */
  readonly probeAfterMs: readonly number[]
  /** least time between two calls of `execute`, over all processes; 0: no pacing */
  readonly minIntervalMs: number
  /** what the system bears of `execute`, unless the connector's file says otherwise; absent: no limit is known */
  readonly rates?: readonly CallRate[]
}
