import type { AssistantModelMessage, ModelMessage, ProviderMetadata } from 'ai'
import { z } from 'zod'
import type { JsonObject } from '../../kernel/json.ts'
import type { LlmEndpoint } from '../endpoint.ts'
import type { LlmMessage, LlmToolCall } from '../llm.ts'

type Api = LlmEndpoint['api']

/** The parts of one answer in the vendor's order; a signature is bound to its place, so the order goes back as it came. */
export type AnswerPart =
  | { readonly kind: 'text'; text: string; metadata: ProviderMetadata | null }
  | { readonly kind: 'reasoning'; text: string; metadata: ProviderMetadata | null }
  | { readonly kind: 'call'; readonly id: string; readonly metadata: ProviderMetadata | null }

const metadata = z.record(z.string(), z.record(z.string(), z.json())).nullable()
const opaqueSchema = z.object({
  api: z.string(),
  parts: z.array(
    z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('text'), text: z.string(), metadata }),
      z.object({ kind: z.literal('reasoning'), text: z.string(), metadata }),
      z.object({ kind: z.literal('call'), id: z.string(), metadata }),
    ]),
  ),
})

/** Our transcript → the SDK's. Opaque parts of another vendor are left out: they would be refused. */
export function sdkMessages(messages: readonly LlmMessage[], api: Api): ModelMessage[] {
  return messages.flatMap((message): ModelMessage[] => {
    switch (message.role) {
      case 'user':
        return [{ role: 'user', content: message.text }]
      case 'assistant': {
        const content = assistantContent(message, api)
        return content.length === 0 ? [] : [{ role: 'assistant', content }]
      }
      case 'tool':
        return [
          {
            role: 'tool',
            content: message.results.map((result) => ({
              type: 'tool-result' as const,
              toolCallId: result.callId,
              toolName: result.name,
              output: { type: result.isError ? ('error-text' as const) : ('text' as const), value: result.text },
            })),
          },
        ]
    }
  })
}

/** What must go back verbatim with the next call; undefined when text and calls alone say it all. */
export function opaqueOf(parts: readonly AnswerPart[], api: Api): JsonObject | undefined {
  if (!parts.some((part) => part.kind === 'reasoning' || part.metadata)) return undefined
  return opaqueSchema.parse({ api, parts })
}

type AssistantContent = Exclude<AssistantModelMessage['content'], string>

function assistantContent(message: Extract<LlmMessage, { role: 'assistant' }>, api: Api): AssistantContent {
  const calls = new Map(message.toolCalls.map((call) => [call.id, call]))
  const opaque = opaqueSchema.safeParse(message.opaque)
  const parts: readonly AnswerPart[] =
    opaque.success && opaque.data.api === api
      ? opaque.data.parts
      : [
          { kind: 'text', text: message.text, metadata: null },
          ...message.toolCalls.map(({ id }) => ({ kind: 'call' as const, id, metadata: null })),
        ]
  return parts.flatMap((part): AssistantContent => {
    switch (part.kind) {
      case 'text':
        // Vendors refuse an empty text block.
        return part.text === '' ? [] : [{ type: 'text', text: part.text, ...options(part.metadata) }]
      case 'reasoning':
        return [{ type: 'reasoning', text: part.text, ...options(part.metadata) }]
      case 'call': {
        const call = calls.get(part.id)
        return call
          ? [
              {
                type: 'tool-call',
                toolCallId: call.id,
                toolName: call.name,
                input: inputOf(call),
                ...options(part.metadata),
              },
            ]
          : []
      }
    }
  })
}

function options(part: ProviderMetadata | null): { providerOptions?: ProviderMetadata } {
  return part ? { providerOptions: part } : {}
}

/** Vendors take only objects back; what a model wrote instead of one is shown to it as text. */
function inputOf(call: LlmToolCall): object {
  return typeof call.args === 'object' && call.args !== null && !Array.isArray(call.args)
    ? call.args
    : { invalid: call.args ?? null }
}
