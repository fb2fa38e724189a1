// Mutations (each removed by hand, seen to fail, put back):
// - stream-step.ts, `withLastCut`: 'max-tokens-before-arguments' of all wires (args `{}` instead of '')
// - stream-step.ts, filter `knownEvents`: 'anthropic/unknown-events.sse' (GUILD_LLM_UNAVAILABLE)
// - stream-step.ts, `if (!this.#end || !stop) throw` with stop `end` instead: 'ends-early' (half an answer)
// - stream-step.ts, case 'content-filter': every 'refusal' and 'content-filter' (an error, so a retry)
// - stream-step.ts, case 'error': every '.http' and 'error-in-stream' (GUILD_LLM_UNAVAILABLE instead of the reason)
// - stream-step.ts, the report in `catch`: 'a stream that breaks off' (no output counted)
// - failure.ts, retryAfterOf: 'rate-limit.http' (no retryAfterMs)
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { startRecorded, type Wire, wires } from '../../../test/wire/recorded.ts'
import { isGuildError } from '../../kernel/errors.ts'
import { Secret } from '../../kernel/secret.ts'
import type { LlmEndpoint } from '../endpoint.ts'
import type { LlmRequest, LlmUsage } from '../llm.ts'
import { vercelLlm } from './vercel-llm.ts'

const apisOf: Readonly<Record<Wire, readonly LlmEndpoint['api'][]>> = {
  anthropic: ['anthropic'],
  'openai-responses': ['openai-responses'],
  'openai-chat': ['openai', 'openai-compatible'],
}
const said = 'The pull request changes the cart. It is safe.'
const bothCalls = [
  { name: 'github__get_issue', args: { repo: 'octo/shop', number: 7 } },
  { name: 'github__get_issue', args: { repo: 'octo/shop', number: 8 } },
]
const cutCall = [{ name: 'GITHUB_COMMENT', args: expect.stringContaining('A long story tha') }]
const bareCall = [
  { name: 'github__get_issue', args: { number: 7 } },
  { name: 'github__list_issues', args: '' },
]
const refusal = { stop: 'refusal', toolCalls: [] }
const overloaded = { code: 'GUILD_LLM_OVERLOADED' }
const broken = { code: 'GUILD_LLM_UNAVAILABLE' }

const openaiErrors = {
  'overloaded.http': overloaded,
  'prompt-too-long.http': { code: 'GUILD_LLM_CONTEXT_OVERFLOW' },
  'quota.http': { code: 'GUILD_LLM_REJECTED' },
  'rate-limit.http': { ...overloaded, retryAfterMs: 20_000 },
  'truncated.cut.sse': broken,
  'truncated-in-call.cut.sse': broken,
  'ends-early.sse': broken,
  'error-in-stream.sse': overloaded,
}
const answers = {
  'text.sse': { text: said, stop: 'end', toolCalls: [] },
  'parallel-tools.sse': { text: 'I’ll read both.', stop: 'tool_calls', toolCalls: bothCalls },
  'max-tokens-in-call.sse': { stop: 'length', toolCalls: cutCall },
  'max-tokens-before-arguments.sse': { stop: 'length', toolCalls: bareCall },
  'empty.sse': { text: '', stop: 'end', toolCalls: [] },
  'unknown-events.sse': { text: 'Safe.', stop: 'end' },
}
/** Every file of the folder → what the adapter must make of it. */
const expected: Readonly<Record<Wire, Readonly<Record<string, object>>>> = {
  anthropic: {
    ...answers,
    'text.sse': { ...answers['text.sse'], usage: { inputNocache: 472, outputText: 15 } },
    'thinking.sse': {
      text: 'It is safe.',
      usage: { outputText: 19, outputReasoning: 41 },
      opaque: {
        api: 'anthropic',
        parts: [
          {
            kind: 'reasoning',
            text: 'The cart is small.',
            metadata: { anthropic: { signature: expect.stringMatching(/^EqQB/) } },
          },
          { kind: 'reasoning', text: '', metadata: { anthropic: { redactedData: expect.stringMatching(/^Emw/) } } },
          { kind: 'text', text: 'It is safe.', metadata: null },
        ],
      },
    },
    'cache.sse': {
      usage: {
        inputNocache: 50,
        inputCacheRead: 18_000,
        inputCacheWrite: 456,
        outputText: 5,
        raw: { cache_creation: { ephemeral_5m_input_tokens: 356, ephemeral_1h_input_tokens: 100 } },
      },
    },
    'refusal.sse': { ...refusal, text: 'I can’t help with that.', usage: { inputNocache: 472, outputText: 12 } },
    'overloaded.http': overloaded,
    'prompt-too-long.http': { code: 'GUILD_LLM_CONTEXT_OVERFLOW' },
    'rate-limit.http': { ...overloaded, retryAfterMs: 12_000 },
    'truncated.cut.sse': broken,
    'truncated-in-call.cut.sse': broken,
    'ends-early.sse': broken,
    'error-in-stream.sse': overloaded,
  },
  'openai-responses': {
    ...answers,
    ...openaiErrors,
    'reasoning.sse': {
      text: 'It is safe.',
      usage: { inputNocache: 480, outputText: 26, outputReasoning: 64 },
      opaque: {
        parts: [
          { kind: 'reasoning', metadata: { openai: { reasoningEncryptedContent: expect.stringMatching(/^gAAAA/) } } },
          { kind: 'text' },
        ],
      },
    },
    'cache.sse': {
      usage: { inputNocache: 86, inputCacheRead: 1920, inputCacheWrite: 0, outputText: 172, outputReasoning: 128 },
    },
    'refusal.sse': {
      ...refusal,
      text: 'I’m sorry, I can’t help with that.',
      usage: { inputNocache: 480, outputText: 15 },
    },
    'content-filter.sse': { ...refusal, usage: { inputNocache: 480 } },
    'failed.sse': broken,
  },
  'openai-chat': {
    ...answers,
    ...openaiErrors,
    'cache.sse': {
      usage: { inputNocache: 86, inputCacheRead: 1920, inputCacheWrite: 0, outputText: 172, outputReasoning: 128 },
    },
    'refusal.sse': {
      ...refusal,
      text: 'I’m sorry, I can’t help with that.',
      usage: { inputNocache: 480, outputText: 15 },
    },
    'content-filter.sse': { ...refusal, usage: { inputNocache: 480 } },
  },
}

describe.each(wires)('%s', (wire) => {
  it('has an expectation for every recorded stream', () => {
    const files = readdirSync(new URL(`./fixtures/${wire}`, import.meta.url))
    expect(Object.keys(expected[wire]).sort()).toEqual(files.sort())
  })

  const cases = Object.entries(expected[wire]).flatMap(([file, result]) =>
    apisOf[wire].map((api) => [file, api, result] as const),
  )
  it.each(cases)('reads %s through %s', async (file, api, result) => {
    await using server = await startRecorded([`${wire}/${file}`])
    const { outcome } = await call(server.url, api)
    expect(outcome).toMatchObject(result)
    expect(server.requests).toHaveLength(1)
  })

  it.each(apisOf[wire])('tells what a stream of %s that breaks off has cost so far', async (api) => {
    await using server = await startRecorded([`${wire}/truncated.cut.sse`])
    const { outcome, reports } = await call(server.url, api)
    expect(outcome).toMatchObject({
      code: 'GUILD_LLM_UNAVAILABLE',
      message: expect.stringContaining('ended in the middle'),
    })
    const known = Object.assign({}, ...reports) as Partial<LlmUsage>
    expect(known.outputText).toBeGreaterThanOrEqual('The pull request '.length)
    expect(known.outputText).toBeLessThanOrEqual(256)
    expect(known.inputNocache).toBe(wire === 'anthropic' ? 472 : undefined)
  })
})

it('counts nothing for an overload before the stream', async () => {
  await using server = await startRecorded(['anthropic/overloaded.http'])
  expect((await call(server.url, 'anthropic')).reports).toEqual([])
})

async function call(url: string, api: LlmEndpoint['api']): Promise<{ outcome: unknown; reports: Partial<LlmUsage>[] }> {
  const reports: Partial<LlmUsage>[] = []
  const llm = vercelLlm({
    endpoint: () => ({ api, baseUrl: `${url}/v1`, nativeOutput: true, key: new Secret('test-key-0123456789') }),
    idleMs: 5_000,
  })
  const outcome: unknown = await llm
    .call(request, { signal: new AbortController().signal, onUsage: (usage) => reports.push(usage) })
    .catch((error: unknown) => {
      if (!isGuildError(error)) throw error
      return error
    })
  return { outcome, reports }
}

const request: LlmRequest = {
  provider: 'acme',
  model: 'model-1',
  system: 'You are Sentinel.',
  messages: [{ role: 'user', text: 'What now?' }],
  tools: ['github__get_issue', 'github__list_issues', 'GITHUB_COMMENT'].map((name) => ({
    name,
    description: name,
    inputSchema: { type: 'object' },
  })),
  maxOutputTokens: 256,
  temperature: 0,
  output: null,
  facts: { event: {}, context: {}, agent: {}, rules: [] },
}
