import type { CompiledRule } from '../codex/snapshot.ts'
import type { JsonObject } from '../kernel/json.ts'

/** Our own transcript format: what the journal keeps and every adapter translates. Never an SDK's. */
export type LlmMessage =
  | { readonly role: 'user'; readonly text: string }
  | {
      readonly role: 'assistant'
      readonly text: string
      readonly toolCalls: readonly LlmToolCall[]
      readonly opaque?: JsonObject
    }
  | { readonly role: 'tool'; readonly results: readonly LlmToolResult[] }

export interface LlmToolCall {
  readonly id: string
  /** As offered in `tools`. */
  readonly name: string
  readonly args: unknown
}

export interface LlmToolResult {
  readonly callId: string
  readonly name: string
  readonly isError: boolean
  readonly text: string
}

export interface LlmTool {
  /** [a-zA-Z0-9_-]{1,64}: what every vendor accepts */
  readonly name: string
  readonly description: string
  readonly inputSchema: object
}

export interface LlmRequest {
  /** provider name in the Codex, or `rules`, `replay` */
  readonly provider: string
  /** the vendor's model id */
  readonly model: string
  /** byte-stable between runs of one agent version: no times, no ids (cache prefix) */
  readonly system: string
  readonly messages: readonly LlmMessage[]
  readonly tools: readonly LlmTool[]
  readonly maxOutputTokens: number
  readonly temperature: number
  /** JSON Schema of the final answer */
  readonly output: object | null
  /** the same for all runs that share the prefix, agent and version: helps a vendor find it in its cache */
  readonly cacheKey?: string
  /** For `rules`: what conditions and templates read. Never sent to a vendor. */
  readonly facts: {
    readonly event: unknown
    readonly context: JsonObject
    readonly agent: JsonObject
    readonly rules: readonly CompiledRule[]
  }
}

/** Disjoint counts, as the invoice adds them up; adapters map each vendor's own way of counting (OpenAI: cached is a subset of input; Anthropic: in addition). */
export interface LlmUsage {
  readonly inputNocache: number
  readonly inputCacheRead: number
  readonly inputCacheWrite: number
  readonly outputText: number
  readonly outputReasoning: number
  readonly raw: JsonObject
}

export interface LlmAnswer {
  readonly text: string
  readonly toolCalls: readonly LlmToolCall[]
  readonly stop: 'end' | 'tool_calls' | 'length' | 'refusal'
  readonly usage: LlmUsage
  /** What answered, as the vendor says it: shown on every run, action and notification. */
  readonly provider: string
  readonly model: string
  /** vendor parts that must go back verbatim with the next call (thinking signatures); kept, never interpreted */
  readonly opaque?: JsonObject
}

/**
 * One model call. Retries are off: the executor owns them. Streaming: usage known at the start is reported through `onUsage` at once;
 * an empty report says that the provider has begun to answer without telling a count, a later one adds to what is known when it breaks off.
 * Limits: nothing for `idleMs` (default 60 000) or no end after `totalMs` (180 000) → GUILD_LLM_TIMEOUT.
 * Errors: GUILD_LLM_UNAVAILABLE | _OVERLOADED (with retryAfterMs) | _REJECTED | _REFUSED | _CONTEXT_OVERFLOW | _TIMEOUT; an abort by
 * `signal` rejects with the signal's reason.
 */
export interface Llm {
  call(
    request: LlmRequest,
    options: { readonly signal: AbortSignal; readonly onUsage?: (usage: Partial<LlmUsage>) => void },
  ): Promise<LlmAnswer>
}

/** Alias of a manifest (`anthropic/claude-sonnet`, `rules`) → what to call and what it costs; null: not configured here, with the reason. */
export interface ModelChoice {
  readonly alias: string
  readonly provider: string
  readonly model: string
  readonly contextTokens: number
  /** micro-USD per million tokens; null: unknown */
  readonly price: ModelPrice | null
}

export interface ModelPrice {
  readonly version: string
  readonly inputPerMillion: number
  readonly outputPerMillion: number
  readonly cacheReadPerMillion: number
  readonly cacheWritePerMillion: number
}
