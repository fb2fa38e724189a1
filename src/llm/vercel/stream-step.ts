import { jsonSchema, Output, streamText, tool } from 'ai'
import type { FinishReason, ModelMessage, ProviderMetadata, SystemModelMessage, TextStreamPart, ToolSet } from 'ai'
import type { LlmEndpoint } from '../endpoint.ts'
import type { LlmAnswer, LlmRequest, LlmTool, LlmToolCall, LlmUsage } from '../llm.ts'
import { StreamTruncated } from './failure.ts'
import { knownEvents } from './known-events.ts'
import { languageModel } from './language-model.ts'
import { type OutputMode, outputMode } from './structured-output.ts'
import { opaqueOf, sdkMessages } from './transcript.ts'
import type { AnswerPart } from './transcript.ts'
import { startedUsage, usageOf } from './usage.ts'
import { watchedFetch } from './watched-fetch.ts'
import type { Watchdog } from './watchdog.ts'

const breakpoint = { anthropic: { cacheControl: { type: 'ephemeral' } } }

// The SDK would print its opinions on parameters of ours on the console.
globalThis.AI_SDK_LOG_WARNINGS = false

export interface StreamStep {
  readonly request: LlmRequest
  readonly endpoint: LlmEndpoint
  readonly watchdog: Watchdog
  readonly onUsage?: (usage: Partial<LlmUsage>) => void
}

/** One streamed call, read to its end. Rejects with whatever the SDK throws, or with StreamTruncated. */
export async function streamStep({ request, endpoint, watchdog, onUsage }: StreamStep): Promise<LlmAnswer> {
  const mode = outputMode(endpoint, request)
  // Another call of the run follows, most likely: its prefix is everything up to here.
  const growing = endpoint.api === 'anthropic' && request.tools.length > 0
  const messages = sdkMessages(request.messages, endpoint.api)
  const result = streamText({
    model: languageModel(
      endpoint,
      request.model,
      watchedFetch(() => watchdog.alive(), endpoint.api === 'anthropic' ? knownEvents : null),
    ),
    instructions: instructions(request, mode),
    messages: growing ? withBreakpoint(messages) : messages,
    tools: toolSet(request.tools),
    ...((mode === 'strict' || mode === 'loose') && { output: Output.object({ schema: jsonSchema(request.output) }) }),
    maxOutputTokens: request.maxOutputTokens,
    temperature: request.temperature,
    maxRetries: 0,
    abortSignal: watchdog.signal,
    telemetry: { isEnabled: false },
    providerOptions: {
      // Schemas of manifests are ordinary JSON Schema; OpenAI's strict subset would refuse an optional member.
      // `store`: the vendor keeps nothing, thoughts come back to us encrypted.
      openai: {
        strictJsonSchema: mode === 'strict',
        ...(endpoint.api === 'openai-responses' && {
          store: false,
          ...(request.cacheKey && { promptCacheKey: request.cacheKey.slice(0, cacheKeyMax) }),
        }),
      },
      // Left to itself the SDK would make the format a tool that must be called, and no other tool ever would be.
      ...(mode === 'strict' &&
        request.tools.length > 0 && { anthropic: { structuredOutputMode: 'outputFormat' as const } }),
      compatible: { strictJsonSchema: mode === 'strict' },
    },
    onError: () => undefined, // each error also arrives as a part; the default prints it
  })
  const answer = new Collected()
  let begun = false
  try {
    for await (const part of result.fullStream) {
      const started = part.type === 'custom' ? startedUsage(part.providerMetadata) : null
      // Whoever tells no count at the start has begun to work with its first word: that is no longer free.
      if (started || (!begun && content.has(part.type))) onUsage?.(started ?? {})
      begun ||= started !== null || content.has(part.type)
      if (part.type !== 'custom') answer.add(part)
    }
    return answer.finish(request, endpoint)
  } catch (error) {
    if (begun) onUsage?.({ outputText: Math.min(answer.bytes, request.maxOutputTokens) })
    throw error
  }
}

const content: ReadonlySet<string> = new Set(['text-delta', 'reasoning-delta', 'tool-input-start', 'tool-call'])

/** https://platform.openai.com/docs/api-reference/responses/create */
const cacheKeyMax = 64

type Part = TextStreamPart<ToolSet>

/** The answer as far as it has arrived. */
class Collected {
  readonly #parts: AnswerPart[] = []
  readonly #calls: LlmToolCall[] = []
  /** parts by the id that the stream gives them: they may overlap */
  readonly #open = new Map<string, Exclude<AnswerPart, { kind: 'call' }>>()
  #text = ''
  #end: Extract<Part, { type: 'finish-step' }> | null = null
  /** of all that was said so far: a bound of the output tokens, should the answer break off */
  bytes = 0

  add(part: Part): void {
    switch (part.type) {
      case 'tool-input-delta':
        this.bytes += Buffer.byteLength(part.delta)
        break
      case 'text-start':
      case 'reasoning-start': {
        const kind = part.type === 'text-start' ? ('text' as const) : ('reasoning' as const)
        const opened = { kind, text: '', metadata: part.providerMetadata ?? null }
        this.#parts.push(opened)
        this.#open.set(`${kind} ${part.id}`, opened)
        break
      }
      case 'text-delta':
      case 'text-end':
      case 'reasoning-delta':
      case 'reasoning-end': {
        const kind = part.type.startsWith('text') ? 'text' : 'reasoning'
        const delta = 'text' in part ? part.text : ''
        if (kind === 'text') this.#text += delta
        this.bytes += Buffer.byteLength(delta)
        extend(this.#open.get(`${kind} ${part.id}`), delta, part.providerMetadata)
        break
      }
      case 'tool-call':
        this.#calls.push({ id: part.toolCallId, name: part.toolName, args: part.input })
        this.#parts.push({ kind: 'call', id: part.toolCallId, metadata: part.providerMetadata ?? null })
        break
      case 'finish-step':
        this.#end = part
        break
      case 'error':
        throw part.error
      case 'abort':
        throw new StreamTruncated()
    }
  }

  finish(request: LlmRequest, endpoint: LlmEndpoint): LlmAnswer {
    const stop = this.#end && stopOf(this.#end.finishReason, this.#end.rawFinishReason, this.#calls.length)
    if (!this.#end || !stop) throw new StreamTruncated()
    const opaque = opaqueOf(this.#parts, endpoint.api)
    return {
      text: this.#text,
      toolCalls: stop === 'length' && this.#parts.at(-1)?.kind === 'call' ? withLastCut(this.#calls) : this.#calls,
      stop,
      usage: usageOf(this.#end.usage),
      provider: request.provider,
      model: this.#end.response.modelId,
      ...(opaque && { opaque }),
    }
  }
}

/**
 * The limit came in the middle of the last call. Cut JSON arrives as text, which no tool takes; nothing at all would arrive as `{}`,
 * which some do.
 */
function withLastCut(calls: readonly LlmToolCall[]): readonly LlmToolCall[] {
  return calls.map((call, index) =>
    index === calls.length - 1 && JSON.stringify(call.args) === '{}' ? { ...call, args: '' } : call,
  )
}

/** Signatures come in pieces, some after the text they sign: what is known of a part is added up, per vendor. */
function extend(
  part: { text: string; metadata: ProviderMetadata | null } | undefined,
  delta: string,
  metadata: ProviderMetadata | undefined,
): void {
  if (!part) return
  part.text += delta
  for (const [vendor, known] of Object.entries(metadata ?? {})) {
    part.metadata = { ...part.metadata, [vendor]: { ...part.metadata?.[vendor], ...known } }
  }
}

/** null: the vendor never said why it stopped, so the stream was cut. */
function stopOf(reason: FinishReason, raw: string | undefined, calls: number): LlmAnswer['stop'] | null {
  switch (reason) {
    case 'length':
      return 'length'
    case 'content-filter':
      return 'refusal'
    case 'tool-calls':
      return calls > 0 ? 'tool_calls' : 'end'
    case 'stop':
      // Some compatible servers end with `stop` after tool calls.
      return calls > 0 ? 'tool_calls' : 'end'
    case 'other':
      return raw === undefined ? null : calls > 0 ? 'tool_calls' : 'end'
    default:
      return null // error, interrupted
  }
}

/** Sorted by name: the same set is the same bytes, whatever order it was gathered in, and hits the prompt cache. */
function toolSet(tools: readonly LlmTool[]): ToolSet {
  const sorted = tools.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return Object.fromEntries(
    sorted.map(({ name, description, inputSchema }) => [
      name,
      tool({ description, inputSchema: jsonSchema(inputSchema) }),
    ]),
  )
}

/** A second breakpoint at the end of the conversation so far: the next call of the run reads all of it from the cache. */
function withBreakpoint(messages: readonly ModelMessage[]): ModelMessage[] {
  return messages.map((message, index) =>
    index === messages.length - 1
      ? { ...message, providerOptions: { ...message.providerOptions, ...breakpoint } }
      : message,
  )
}

/** One cache breakpoint at the end of the system text: Anthropic's prefix runs tools → system, so it covers both. */
function instructions({ system, output }: LlmRequest, mode: OutputMode): SystemModelMessage {
  // Where a response format would forbid calling tools the words do it until the closing call.
  const shape =
    mode === 'words'
      ? `\n\nWhen you are done, answer with JSON alone, valid against this JSON Schema:\n${JSON.stringify(output)}`
      : ''
  return {
    role: 'system',
    content: system + shape,
    providerOptions: breakpoint,
  }
}
