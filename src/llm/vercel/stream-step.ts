import { jsonSchema, Output, streamText, tool } from 'ai'
import type { FinishReason, ProviderMetadata, SystemModelMessage, TextStreamPart, ToolSet } from 'ai'
import type { LlmEndpoint } from '../endpoint.ts'
import type { LlmAnswer, LlmRequest, LlmTool, LlmToolCall, LlmUsage } from '../llm.ts'
import { StreamTruncated } from './failure.ts'
import { languageModel } from './language-model.ts'
import { opaqueOf, sdkMessages } from './transcript.ts'
import type { AnswerPart } from './transcript.ts'
import { startedUsage, usageOf } from './usage.ts'
import { watchedFetch } from './watched-fetch.ts'
import type { Watchdog } from './watchdog.ts'

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
  const native = request.output !== null && request.tools.length === 0
  const result = streamText({
    model: languageModel(
      endpoint,
      request.model,
      watchedFetch(() => watchdog.alive()),
    ),
    instructions: instructions(request),
    messages: sdkMessages(request.messages, endpoint.api),
    tools: toolSet(request.tools),
    ...(native && { output: Output.object({ schema: jsonSchema(request.output) }) }),
    maxOutputTokens: request.maxOutputTokens,
    temperature: request.temperature,
    maxRetries: 0,
    abortSignal: watchdog.signal,
    telemetry: { isEnabled: false },
    // Schemas of manifests are ordinary JSON Schema; OpenAI's strict subset would refuse an optional member.
    providerOptions: { openai: { strictJsonSchema: false }, compatible: { strictJsonSchema: false } },
    onError: () => undefined, // each error also arrives as a part; the default prints it
  })
  const answer = new Collected()
  for await (const part of result.fullStream) {
    if (part.type === 'custom') {
      const started = startedUsage(part.providerMetadata)
      if (started) onUsage?.(started)
    } else answer.add(part)
  }
  return answer.finish(request, endpoint)
}

type Part = TextStreamPart<ToolSet>

/** The answer as far as it has arrived. */
class Collected {
  readonly #parts: AnswerPart[] = []
  readonly #calls: LlmToolCall[] = []
  #text = ''
  #end: Extract<Part, { type: 'finish-step' }> | null = null

  add(part: Part): void {
    switch (part.type) {
      case 'text-start':
        this.#parts.push({ kind: 'text', text: '' })
        break
      case 'text-delta':
        this.#text += part.text
        this.#append('text', part.text)
        break
      case 'reasoning-start':
        this.#parts.push({ kind: 'reasoning', text: '', metadata: part.providerMetadata ?? null })
        break
      case 'reasoning-delta':
        this.#append('reasoning', part.text)
        this.#sign(part.providerMetadata)
        break
      case 'reasoning-end':
        this.#sign(part.providerMetadata)
        break
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
      toolCalls: this.#calls,
      stop,
      usage: usageOf(this.#end.usage),
      provider: request.provider,
      model: this.#end.response.modelId,
      ...(opaque && { opaque }),
    }
  }

  #append(kind: 'text' | 'reasoning', delta: string): void {
    const last = this.#parts.findLast((part) => part.kind === kind)
    if (last && last.kind !== 'call') last.text += delta
  }

  /** Anthropic sends the signature of a thought after its text. */
  #sign(metadata: ProviderMetadata | undefined): void {
    const last = this.#parts.findLast((part) => part.kind === 'reasoning')
    if (last && metadata) last.metadata = { ...last.metadata, ...metadata }
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
    default:
      return raw === undefined ? null : calls > 0 ? 'tool_calls' : 'end'
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

/** One cache breakpoint at the end of the system text: Anthropic's prefix runs tools → system, so it covers both. */
function instructions({ system, output, tools }: LlmRequest): SystemModelMessage {
  // With tools a response format would forbid calling them; the words do it until the closing call.
  const shape =
    output && tools.length > 0
      ? `\n\nWhen you are done, answer with JSON alone, valid against this JSON Schema:\n${JSON.stringify(output)}`
      : ''
  return {
    role: 'system',
    content: system + shape,
    providerOptions: { anthropic: { cacheControl: { type: 'ephemeral' } } },
  }
}
