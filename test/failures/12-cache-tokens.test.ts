import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/kernel/secret.ts'
import { costMicros } from '../../src/ledger/price.ts'
import type { LlmEndpoint } from '../../src/llm/endpoint.ts'
import type { LlmUsage, ModelPrice } from '../../src/llm/llm.ts'
import { vercelLlm } from '../../src/llm/vercel/vercel-llm.ts'
import { startAnthropicFake } from '../wire/anthropic.ts'
import type { Fake } from '../wire/fake.ts'
import { startOpenaiFake } from '../wire/openai.ts'

/*
 * langfuse #12306, langsmith-sdk #2519, litellm #11364.
 * Mutations:
 * - src/llm/vercel/usage.ts: `inputNocache` taken as all of the input, cache not taken off: “charged equals billed” fails for all four.
 * - src/llm/vercel/usage.ts: reasoning not taken off `outputText`: “charged equals billed” fails for the three of OpenAI's kind.
 * - src/ledger/price.ts: cache reads left out of the price: “charged equals billed” fails for all four.
 * - src/ledger/price.ts: cache writes at the price of plain input: “charged equals billed” fails for Anthropic.
 */

/** Micro-USD per million tokens; four different prices, so that a count in the wrong place costs something else. */
const price: ModelPrice = {
  version: 'v',
  inputPerMillion: 3_000_000,
  outputPerMillion: 15_000_000,
  cacheReadPerMillion: 300_000,
  cacheWritePerMillion: 3_750_000,
}

interface Used {
  readonly fresh: number
  readonly read: number
  readonly written: number
  readonly output: number
  readonly reasoning: number
}

/** What each vendor reports, and what its invoice says: the formula of its own price page over its own fields. */
const vendors: readonly {
  readonly api: LlmEndpoint['api']
  readonly report: (used: Used) => Record<string, unknown>
  readonly invoice: (used: Used) => bigint
}[] = [
  {
    // Cache tokens are beside input_tokens: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
    api: 'anthropic',
    report: ({ fresh, read, written, output, reasoning }) => ({
      input_tokens: fresh,
      cache_read_input_tokens: read,
      cache_creation_input_tokens: written,
      output_tokens: output + reasoning,
    }),
    invoice: ({ fresh, read, written, output, reasoning }) =>
      sum(
        [fresh, price.inputPerMillion],
        [read, price.cacheReadPerMillion],
        [written, price.cacheWritePerMillion],
        [output + reasoning, price.outputPerMillion],
      ),
  },
  ...(['openai', 'openai-compatible'] as const).map((api) => ({
    // Cached tokens are a part of prompt_tokens, reasoning a part of completion_tokens: https://platform.openai.com/docs/guides/prompt-caching
    api,
    report: ({ fresh, read, output, reasoning }: Used) => ({
      prompt_tokens: fresh + read,
      prompt_tokens_details: { cached_tokens: read },
      completion_tokens: output + reasoning,
      completion_tokens_details: { reasoning_tokens: reasoning },
      total_tokens: fresh + read + output + reasoning,
    }),
    invoice: openaiInvoice,
  })),
  {
    api: 'openai-responses',
    report: ({ fresh, read, output, reasoning }) => ({
      input_tokens: fresh + read,
      input_tokens_details: { cached_tokens: read },
      output_tokens: output + reasoning,
      output_tokens_details: { reasoning_tokens: reasoning },
      total_tokens: fresh + read + output + reasoning,
    }),
    invoice: openaiInvoice,
  },
]

const tokens = fc.integer({ min: 0, max: 2_000_000 })
const uses = fc.record({
  fresh: fc.integer({ min: 1, max: 2_000_000 }),
  read: tokens,
  written: tokens,
  output: tokens,
  reasoning: tokens,
})

describe.each(vendors)('$api', ({ api, report, invoice }) => {
  it('cache-token arithmetic per provider equals the invoice formula', async () => {
    await using fake = await (api === 'anthropic' ? startAnthropicFake() : startOpenaiFake())
    await fc.assert(
      fc.asyncProperty(uses, async (used) => {
        fake.script([{ kind: 'say', text: 'ok', usage: report(used) }])
        const usage = await usageOf(fake, api)
        // Rounded up once: never below the invoice, and less than one micro-USD above it.
        const charged = BigInt(costMicros(usage, price)) * 1_000_000n
        const billed = invoice(used)
        expect(charged >= billed && charged - billed < 1_000_000n).toBe(true)
        const written = api === 'anthropic' ? used.written : 0
        expect(usage.inputNocache + usage.inputCacheRead + usage.inputCacheWrite).toBe(used.fresh + used.read + written)
        expect(usage.outputText + usage.outputReasoning).toBe(used.output + used.reasoning)
        expect(Object.keys(usage.raw).length).toBeGreaterThan(0)
      }),
      { numRuns: 25 },
    )
  })
})

async function usageOf(fake: Fake, api: LlmEndpoint['api']): Promise<LlmUsage> {
  const endpoint = (): LlmEndpoint => ({ api, baseUrl: `${fake.url}/v1`, nativeOutput: false, key: new Secret('k') })
  const request = {
    provider: 'acme',
    model: 'model-1',
    system: 'Be brief.',
    messages: [{ role: 'user', text: 'hello' }],
    tools: [],
    maxOutputTokens: 16,
    temperature: 0,
    output: null,
    facts: { event: {}, context: {}, agent: {}, rules: [] },
  } as const
  const answer = await vercelLlm({ endpoint }).call(request, { signal: new AbortController().signal })
  return answer.usage
}

function openaiInvoice({ fresh, read, output, reasoning }: Used): bigint {
  return sum(
    [fresh, price.inputPerMillion],
    [read, price.cacheReadPerMillion],
    [output + reasoning, price.outputPerMillion],
  )
}

/** Σ tokens × micro-USD per million, still to be divided by a million. */
function sum(...parts: readonly (readonly [number, number])[]): bigint {
  return parts.reduce((total, [count, per]) => total + BigInt(count) * BigInt(per), 0n)
}
