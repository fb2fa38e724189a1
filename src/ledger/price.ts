import { GuildError } from '../kernel/errors.ts'
import type { LlmRequest, LlmUsage, ModelChoice, ModelPrice } from '../llm/llm.ts'
import type { BudgetLimit } from './ledger.ts'

/** What a vendor's chat format adds around our text: role marks and separators per message and tool, and a fixed start. */
const overhead = { request: 64, message: 16, call: 32, tool: 32 } as const

/**
 * What the usage costs, in micro-USD, rounded up once over all kinds of token. The counts are disjoint, so none is paid twice.
 * A kind of token without its own price has been given the input price by whoever built the `ModelPrice`.
 */
export function costMicros(usage: Omit<LlmUsage, 'raw'>, price: ModelPrice | null): number {
  if (price === null) return 0
  return micros([
    [usage.inputNocache, price.inputPerMillion],
    [usage.inputCacheRead, price.cacheReadPerMillion],
    [usage.inputCacheWrite, price.cacheWritePerMillion],
    [usage.outputText + usage.outputReasoning, price.outputPerMillion],
  ])
}

/**
 * The most one call can use, to be reserved before it is made. Every input token at the dearest input price (a first cache write
 * costs more than plain input), every output token spent; reasoning counts as output.
 * @param inputBytes from `inputBound`
 * @param price null: unpriced, cost 0; where a money limit applies `requirePrice` has refused before
 */
export function worstCase(
  inputBytes: number,
  maxOutputTokens: number,
  price: ModelPrice | null,
): { readonly tokens: number; readonly costMicros: number } {
  const tokens = inputBytes + maxOutputTokens
  if (price === null) return { tokens, costMicros: 0 }
  const dearest = Math.max(price.inputPerMillion, price.cacheReadPerMillion, price.cacheWritePerMillion)
  const cost = micros([
    [inputBytes, dearest],
    [maxOutputTokens, price.outputPerMillion],
  ])
  return { tokens, costMicros: cost }
}

/**
 * An upper bound of the input tokens of a request, strict mode (design: runs 3.4): a byte-level BPE token covers at least one byte, so
 * the UTF-8 bytes of everything sent, as JSON where it is JSON, and a fixed overhead are never too few. Text only.
 */
export function inputBound(request: Measured): number {
  return sizeOf(request, bytesOf)
}

/** Not below `inputBound`, up to three times as much, and told without a look at the texts. */
export function roughBound(request: Measured): number {
  // No character takes more than three bytes for each of its units.
  return sizeOf(request, (text) => text.length * 3)
}

type Measured = Pick<LlmRequest, 'system' | 'messages' | 'tools' | 'output'>

function sizeOf(request: Measured, bytesOf: (text: string) => number): number {
  const jsonBytes = (value: unknown) => bytesOf(JSON.stringify(value) ?? '')
  let bytes = overhead.request + bytesOf(request.system) + (request.output ? jsonBytes(request.output) : 0)
  for (const tool of request.tools) {
    bytes += overhead.tool + bytesOf(tool.name) + bytesOf(tool.description) + jsonBytes(tool.inputSchema)
  }
  for (const message of request.messages) {
    bytes += overhead.message
    if (message.role === 'user') bytes += bytesOf(message.text)
    else if (message.role === 'assistant') {
      bytes += bytesOf(message.text) + (message.opaque ? jsonBytes(message.opaque) : 0)
      for (const call of message.toolCalls) {
        bytes += overhead.call + bytesOf(call.id) + bytesOf(call.name) + jsonBytes(call.args)
      }
    } else {
      for (const result of message.results) {
        bytes += overhead.call + bytesOf(result.callId) + bytesOf(result.name) + bytesOf(result.text)
      }
    }
  }
  return bytes
}

/** @throws GUILD_PRICE_UNKNOWN when one of the limits is in money and the model has no price: it could not be kept */
export function requirePrice(choice: ModelChoice, limits: readonly BudgetLimit[]): void {
  if (choice.price === null && limits.some((limit) => limit.costMicros !== null)) {
    throw new GuildError('GUILD_PRICE_UNKNOWN', { model: choice.alias })
  }
}

/** Σ tokens · price per million, exact, rounded up at the end: many small calls never add up to less than the invoice. */
function micros(parts: readonly (readonly [tokens: number, perMillion: number])[]): number {
  const total = parts.reduce((sum, [tokens, price]) => sum + BigInt(tokens) * BigInt(Math.round(price)), 0n)
  return Number((total + 999_999n) / 1_000_000n)
}

function bytesOf(text: string): number {
  return Buffer.byteLength(text)
}
