import type { LanguageModelUsage } from 'ai'
import { z } from 'zod'
import type { JsonObject } from '../../kernel/json.ts'
import type { LlmUsage } from '../llm.ts'

/**
 * Disjoint counts. The SDK has already split the input by vendor (Anthropic counts cache tokens in addition to input, OpenAI as a
 * subset of it); output is split here, as Anthropic reports no text count. `raw` is empty when the server reported nothing at all.
 */
export function usageOf(usage: LanguageModelUsage): LlmUsage {
  const read = count(usage.inputTokenDetails.cacheReadTokens)
  const write = count(usage.inputTokenDetails.cacheWriteTokens)
  const reasoning = count(usage.outputTokenDetails.reasoningTokens)
  return {
    inputNocache: count(usage.inputTokenDetails.noCacheTokens ?? count(usage.inputTokens) - read - write),
    inputCacheRead: read,
    inputCacheWrite: write,
    outputText: count(count(usage.outputTokens) - reasoning),
    outputReasoning: reasoning,
    raw: rawUsage(usage.raw),
  }
}

const startedSchema = z.object({
  anthropic: z.object({
    usage: z.looseObject({
      input_tokens: z.number(),
      cache_read_input_tokens: z.number().nullish(),
      cache_creation_input_tokens: z.number().nullish(),
    }),
  }),
})

/** Input counts of Anthropic's `message_start`, which come before the first token; null: not that part. */
export function startedUsage(providerMetadata: unknown): Partial<LlmUsage> | null {
  const started = startedSchema.safeParse(providerMetadata)
  if (!started.success) return null
  const { usage } = started.data.anthropic
  return {
    inputNocache: count(usage.input_tokens),
    inputCacheRead: count(usage.cache_read_input_tokens ?? 0),
    inputCacheWrite: count(usage.cache_creation_input_tokens ?? 0),
    raw: rawUsage(usage),
  }
}

function rawUsage(raw: unknown): JsonObject {
  const object = z.record(z.string(), z.json()).safeParse(raw)
  return object.success ? object.data : {}
}

function count(tokens: number | undefined): number {
  return tokens !== undefined && Number.isFinite(tokens) ? Math.max(0, Math.round(tokens)) : 0
}
