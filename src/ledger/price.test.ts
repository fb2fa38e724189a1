import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LlmRequest } from '../llm/llm.ts'
import { costMicros, inputBound, requirePrice, roughBound, worstCase } from './price.ts'

/** 3 / 15 / 0.30 / 3.75 USD per million. */
const price = {
  version: '2026-11',
  inputPerMillion: 3_000_000,
  outputPerMillion: 15_000_000,
  cacheReadPerMillion: 300_000,
  cacheWritePerMillion: 3_750_000,
}
const none = { inputNocache: 0, inputCacheRead: 0, inputCacheWrite: 0, outputText: 0, outputReasoning: 0 }

describe('costMicros', () => {
  it.each([
    ['nothing', none, 0],
    ['one input token', { ...none, inputNocache: 1 }, 3],
    ['one cached token, rounded up', { ...none, inputCacheRead: 1 }, 1],
    ['two parts of a micro, rounded once', { ...none, inputCacheRead: 1, inputCacheWrite: 1 }, 5],
    ['a million of each', each(1_000_000), 3_000_000 + 300_000 + 3_750_000 + 30_000_000],
    ['reasoning as output', { ...none, outputReasoning: 100 }, 1_500],
  ])('charges %s', (_what, usage, expected) => {
    expect(costMicros(usage, price)).toBe(expected)
  })

  it('never charges less than the invoice, and less than one micro more', () => {
    fc.assert(
      fc.property(usage(), (counts) => {
        const invoice =
          BigInt(counts.inputNocache) * 3_000_000n +
          BigInt(counts.inputCacheRead) * 300_000n +
          BigInt(counts.inputCacheWrite) * 3_750_000n +
          BigInt(counts.outputText + counts.outputReasoning) * 15_000_000n
        const charged = BigInt(costMicros(counts, price)) * 1_000_000n
        expect(charged >= invoice && charged - invoice < 1_000_000n).toBe(true)
      }),
    )
  })

  it('charges one answer the same however the vendor counts its cache', () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), fc.nat(1e6), (fresh, cached, output) => {
        // OpenAI: cached is a part of prompt_tokens. Anthropic: beside input_tokens. The adapters hand over disjoint counts.
        const openai = { prompt_tokens: fresh + cached, cached_tokens: cached, completion_tokens: output }
        const anthropic = { input_tokens: fresh, cache_read_input_tokens: cached, output_tokens: output }
        const fromOpenai = {
          ...none,
          inputNocache: openai.prompt_tokens - openai.cached_tokens,
          inputCacheRead: openai.cached_tokens,
          outputText: openai.completion_tokens,
        }
        const fromAnthropic = {
          ...none,
          inputNocache: anthropic.input_tokens,
          inputCacheRead: anthropic.cache_read_input_tokens,
          outputText: anthropic.output_tokens,
        }
        expect(costMicros(fromOpenai, price)).toBe(costMicros(fromAnthropic, price))
      }),
    )
  })
})

describe('worstCase', () => {
  it('is never below what a call within its bounds costs', () => {
    fc.assert(
      fc.property(usage(), fc.nat(1_000), fc.nat(1_000), (counts, moreInput, moreOutput) => {
        const input = counts.inputNocache + counts.inputCacheRead + counts.inputCacheWrite
        const output = counts.outputText + counts.outputReasoning
        const worst = worstCase(input + moreInput, output + moreOutput, price)
        expect(worst.tokens).toBeGreaterThanOrEqual(input + output)
        expect(worst.costMicros).toBeGreaterThanOrEqual(costMicros(counts, price))
      }),
    )
  })

  it('costs nothing without a price', () => {
    expect(worstCase(100, 50, null)).toEqual({ tokens: 150, costMicros: 0 })
  })
})

describe('requirePrice', () => {
  const choice = { alias: 'local/llama', provider: 'local', model: 'llama', contextTokens: 8_000, price: null }
  const limit = { entityType: 'run', entityId: 'inv_1', kind: 'run', tokens: 100, costMicros: null } as const

  it('lets an unpriced model run where only tokens are limited', () => {
    expect(() => requirePrice(choice, [limit])).not.toThrow()
  })
  it('refuses an unpriced model where money is limited', () => {
    expect(() => requirePrice(choice, [limit, { ...limit, costMicros: 0 }])).toThrow(
      /no price is known for local\/llama/,
    )
  })
})

describe('inputBound', () => {
  it('is at least the bytes of every text that is sent', () => {
    const text = fc.string({ unit: 'binary' })
    fc.assert(
      fc.property(text, text, fc.jsonValue(), text, (system, user, args, result) => {
        const request = aRequest({
          system,
          messages: [
            { role: 'user', text: user },
            { role: 'assistant', text: '', toolCalls: [{ id: 'c1', name: 'look', args }] },
            { role: 'tool', results: [{ callId: 'c1', name: 'look', isError: false, text: result }] },
          ],
        })
        const sent = [system, user, JSON.stringify(args), result].reduce(
          (sum, part) => sum + Buffer.byteLength(part),
          0,
        )
        expect(inputBound(request)).toBeGreaterThan(sent)
        // A glance may say too much, never too little.
        expect(roughBound(request)).toBeGreaterThanOrEqual(inputBound(request))
      }),
    )
  })

  it('counts tools and the answer schema', () => {
    const tools = [{ name: 'look', description: 'x'.repeat(1_000), inputSchema: { type: 'object' } }]
    const plain = inputBound(aRequest({}))
    expect(inputBound(aRequest({ tools }))).toBeGreaterThan(plain + 1_000)
    expect(inputBound(aRequest({ output: { title: 'y'.repeat(500) } }))).toBeGreaterThan(plain + 500)
  })
})

function aRequest(over: Partial<LlmRequest>): Pick<LlmRequest, 'system' | 'messages' | 'tools' | 'output'> {
  return { system: '', messages: [], tools: [], output: null, ...over }
}

function each(count: number) {
  return {
    inputNocache: count,
    inputCacheRead: count,
    inputCacheWrite: count,
    outputText: count,
    outputReasoning: count,
  }
}

function usage() {
  const count = fc.nat(2_000_000)
  return fc.record({
    inputNocache: count,
    inputCacheRead: count,
    inputCacheWrite: count,
    outputText: count,
    outputReasoning: count,
  })
}
