import { describe, expect, it } from 'vitest'
import { startAnthropicFake } from '../../../test/wire/anthropic.ts'
import type { Fake, FakeAnswer, FakeScript } from '../../../test/wire/fake.ts'
import { startOpenaiFake } from '../../../test/wire/openai.ts'
import { isGuildError } from '../../kernel/errors.ts'
import type { GuildError } from '../../kernel/errors.ts'
import { Secret } from '../../kernel/secret.ts'
import type { LlmEndpoint } from '../endpoint.ts'
import type { LlmAnswer, LlmRequest, LlmUsage } from '../llm.ts'
import { vercelLlm } from './vercel-llm.ts'

const key = 'test-key-0123456789'
const apis = ['anthropic', 'openai', 'openai-responses', 'openai-compatible'] as const
type Api = LlmEndpoint['api']

describe.each(apis)('%s', (api) => {
  it('streams the text of an answer and says who gave it', async () => {
    await using fake = await start(api, [{ kind: 'say', text: 'A calm and complete answer.' }])
    const answer = await call(fake, api)
    expect(answer).toMatchObject({ text: 'A calm and complete answer.', toolCalls: [], stop: 'end' })
    expect([answer.provider, answer.model]).toEqual(['acme', 'model-1'])
    expect(fake.requests[0]?.body).toMatchObject({ stream: true, model: 'model-1', temperature: 0 })
    const { headers } = fake.requests[0] ?? {}
    expect(api === 'anthropic' ? headers?.['x-api-key'] : headers?.authorization).toContain(key)
  })

  it('returns parallel tool calls with their arguments, unexecuted', async () => {
    const calls = [
      { id: 'call_a', name: 'github-get_issue', args: { repo: 'octo/shop', number: 7 } },
      { id: 'call_b', name: 'GITHUB_COMMENT', args: { body: 'multi\nline “text”' } },
    ]
    await using fake = await start(api, [{ kind: 'say', text: 'Looking.', calls }])
    const answer = await call(fake, api, { tools })
    expect(answer).toMatchObject({ text: 'Looking.', toolCalls: calls, stop: 'tool_calls' })
    expect(toolNames(fake)).toEqual(['GITHUB_COMMENT', 'github-get_issue'])
  })

  it('hands a call it cannot make sense of on, for the run to refuse', async () => {
    const calls = [{ id: 'call_a', name: 'no_such_tool', args: ['not', 'an', 'object'] }]
    await using fake = await start(api, [
      { kind: 'say', calls },
      { kind: 'say', text: 'Sorry.' },
    ])
    const first = await call(fake, api, { tools })
    expect(first.toolCalls).toMatchObject([{ id: 'call_a', name: 'no_such_tool' }])
    const second = await call(fake, api, { tools, messages: conversation(first, 'there is no such tool', true) })
    expect(second.text).toBe('Sorry.')
  })

  it('sends calls and their results back in the vendor’s own shape', async () => {
    const calls = [{ id: 'call_a', name: 'github-get_issue', args: { number: 7 } }]
    await using fake = await start(api, [
      { kind: 'say', calls },
      { kind: 'say', text: 'Done.' },
    ])
    const first = await call(fake, api, { tools })
    await call(fake, api, { tools, messages: conversation(first, '{"title":"Broken"}', false) })
    const sent = JSON.stringify(fake.requests[1]?.body.messages ?? fake.requests[1]?.body.input)
    const expected =
      api === 'openai-responses'
        ? [
            '"type":"function_call","call_id":"call_a"',
            '"arguments":"{\\"number\\":7}"',
            '"type":"function_call_output"',
          ]
        : api === 'anthropic'
          ? ['"type":"tool_use","id":"call_a"', '"input":{"number":7}', '"type":"tool_result","tool_use_id":"call_a"']
          : ['"tool_calls":[{"id":"call_a"', '"arguments":"{\\"number\\":7}"', '"role":"tool","tool_call_id":"call_a"']
    for (const part of expected) expect(sent).toContain(part)
  })

  it('asks for JSON by response format without tools, and by words with them', async () => {
    await using fake = await start(api, [{ kind: 'say', text: '{"ok":true}' }])
    const output = { type: 'object', properties: { ok: { type: 'boolean' } }, additionalProperties: false }
    expect((await call(fake, api, { output })).text).toBe('{"ok":true}')
    await call(fake, api, { output, tools })
    const [native, worded] = fake.requests.map(({ body }) => JSON.stringify(body))
    expect(native).toMatch(/response_format|output_format|output_config|"name":"json"|"text":\{"format"/)
    expect(native).not.toContain('valid against this JSON Schema')
    expect(worded).toContain('valid against this JSON Schema')
  })

  const failures: readonly [string, FakeAnswer, string, number?][] = [
    ['429 with a wait', fail(429, 'rate_limit_error', { 'retry-after': '7' }), 'GUILD_LLM_OVERLOADED', 7_000],
    ['429 in ms', fail(429, 'rate_limit_error', { 'retry-after-ms': '250' }), 'GUILD_LLM_OVERLOADED', 250],
    ['529', fail(529, 'overloaded_error'), 'GUILD_LLM_OVERLOADED'],
    ['500', fail(500, 'api_error'), 'GUILD_LLM_UNAVAILABLE'],
    ['502 of a proxy', { kind: 'raw', status: 502, body: '<h1>Bad gateway</h1>' }, 'GUILD_LLM_UNAVAILABLE'],
    ['401', fail(401, 'authentication_error'), 'GUILD_LLM_REJECTED'],
    ['403', fail(403, 'permission_error'), 'GUILD_LLM_REJECTED'],
    ['404', fail(404, 'not_found_error'), 'GUILD_LLM_REJECTED'],
    ['400', fail(400, 'invalid_request_error'), 'GUILD_LLM_REJECTED'],
    ['a stream cut in the middle', { kind: 'say', text: 'Half of an ans', end: 'truncate' }, 'GUILD_LLM_UNAVAILABLE'],
    ['a socket closed', { kind: 'drop' }, 'GUILD_LLM_UNAVAILABLE'],
    ['an empty stream', { kind: 'raw', status: 200, body: '' }, 'GUILD_LLM_UNAVAILABLE'],
    ['no stream at all', { kind: 'raw', status: 200, body: 'data: nonsense\n\n' }, 'GUILD_LLM_UNAVAILABLE'],
    [
      'an error in the stream',
      { kind: 'break', type: 'overloaded_error', message: 'Overloaded' },
      'GUILD_LLM_OVERLOADED',
    ],
  ]
  it.each(failures)('tells %s', async (_, answer, code, retryAfterMs) => {
    await using fake = await start(api, [answer])
    const error = await failure(call(fake, api))
    expect(error.code).toBe(code)
    expect(error.retryAfterMs).toBe(retryAfterMs)
    expect(fake.requests).toHaveLength(1)
  })

  it('tells an unreachable server, without its prompt in the error', async () => {
    const fake = await start(api, [])
    await fake.close()
    const error = await failure(call(fake, api, { system: 'PRIVATE PROMPT' }))
    expect(error.code).toBe('GUILD_LLM_UNAVAILABLE')
    expect(error.message).toContain('ECONNREFUSED')
    expect(deepText(error)).not.toContain('PRIVATE PROMPT')
  })

  it('never repeats the key', async () => {
    await using fake = await start(api, [fail(401, 'authentication_error', {}, `the key ${key} is wrong`)])
    const error = await failure(call(fake, api))
    expect(error.message).toContain('the key [secret] is wrong')
    expect(deepText(error)).not.toContain(key)
  })

  it('cuts off a server that says nothing', async () => {
    await using fake = await start(api, [{ kind: 'hang' }])
    const error = await failure(call(fake, api, {}, { idleMs: 80 }))
    expect(error.code).toBe('GUILD_LLM_TIMEOUT')
    expect(error.message).toContain('nothing came for 80 ms')
  })

  it('cuts off a server that falls silent in the middle', async () => {
    await using fake = await start(api, [{ kind: 'say', text: 'Once upon a', end: 'hang' }])
    expect((await failure(call(fake, api, {}, { idleMs: 120 }))).code).toBe('GUILD_LLM_TIMEOUT')
  })

  it('takes keep-alives for life, and the total limit for the end', async () => {
    await using fake = await start(api, [
      { kind: 'say', text: 'Late.', pings: 20, pingMs: 100 },
      { kind: 'say', text: 'Never.', pings: 200, pingMs: 50 },
    ])
    expect((await call(fake, api, {}, { idleMs: 1_500 })).text).toBe('Late.')
    const error = await failure(call(fake, api, {}, { idleMs: 1_500, totalMs: 2_500 }))
    expect(error.message).toContain('no end after 2500 ms')
  })

  it('rejects with the signal’s own reason when it aborts', async () => {
    await using fake = await start(api, [{ kind: 'hang' }])
    const controller = new AbortController()
    const pending = call(fake, api, {}, {}, controller.signal)
    await expect.poll(() => fake.requests.length).toBe(1)
    const reason = new Error('lease lost')
    controller.abort(reason)
    await expect(pending).rejects.toBe(reason)
  })
})

describe('usage', () => {
  it('takes Anthropic’s cache tokens in addition to input, and tells them at the start', async () => {
    const usage = { input_tokens: 10, cache_read_input_tokens: 900, cache_creation_input_tokens: 90, output_tokens: 33 }
    await using fake = await start('anthropic', [{ kind: 'say', text: 'ok', usage }])
    const started: Partial<LlmUsage>[] = []
    const answer = await call(fake, 'anthropic', {}, {}, undefined, (early) => started.push(early))
    const input = { inputNocache: 10, inputCacheRead: 900, inputCacheWrite: 90 }
    expect(started).toMatchObject([input])
    expect(answer.usage).toMatchObject({ ...input, outputText: 33, outputReasoning: 0 })
    expect(answer.usage.raw).toMatchObject({ input_tokens: 10, output_tokens: 33 })
  })

  it.each(['openai', 'openai-compatible'] as const)(
    'takes the cached and reasoning tokens of %s as subsets',
    async (api) => {
      const usage = {
        prompt_tokens: 1000,
        completion_tokens: 50,
        prompt_tokens_details: { cached_tokens: 900 },
        completion_tokens_details: { reasoning_tokens: 30 },
      }
      await using fake = await start(api, [{ kind: 'say', text: 'ok', usage }])
      expect((await call(fake, api)).usage).toMatchObject({
        inputNocache: 100,
        inputCacheRead: 900,
        inputCacheWrite: 0,
        outputText: 20,
        outputReasoning: 30,
        raw: usage,
      })
    },
  )
})

describe('details of a vendor', () => {
  it('marks the end of Anthropic’s system text as the cache breakpoint', async () => {
    await using fake = await start('anthropic', [{ kind: 'say', text: 'ok' }])
    await call(fake, 'anthropic', { tools })
    expect(fake.requests[0]?.body.system).toEqual([
      { type: 'text', text: 'You are Sentinel.', cache_control: { type: 'ephemeral' } },
    ])
  })

  it('returns Anthropic’s signed thoughts verbatim with the next call, before what followed them', async () => {
    const thinking = { text: 'Let me see.', signature: 'c2lnbmF0dXJl' }
    const calls = [{ id: 'call_a', name: 'github-get_issue', args: { number: 7 } }]
    await using fake = await start('anthropic', [
      { kind: 'say', thinking, text: 'Looking.', calls },
      { kind: 'say', text: 'Done.' },
    ])
    const first = await call(fake, 'anthropic', { tools })
    expect(first.text).toBe('Looking.')
    const journaled = JSON.parse(JSON.stringify(first)) as LlmAnswer
    await call(fake, 'anthropic', { tools, messages: conversation(journaled, '{}', false) })
    expect(fake.requests[1]?.body.messages[1].content).toMatchObject([
      { type: 'thinking', thinking: 'Let me see.', signature: 'c2lnbmF0dXJl' },
      { type: 'text', text: 'Looking.' },
      { type: 'tool_use', id: 'call_a' },
    ])
  })

  it('lets OpenAI keep nothing, and returns its encrypted thoughts with the next call', async () => {
    const thinking = { text: 'Let me see.', signature: 'ZW5jcnlwdGVk' }
    const calls = [{ id: 'call_a', name: 'github-get_issue', args: { number: 7 } }]
    await using fake = await start('openai-responses', [
      { kind: 'say', thinking, calls },
      { kind: 'say', text: 'Done.' },
    ])
    const model = { model: 'gpt-5.4', tools }
    const first = await call(fake, 'openai-responses', model)
    const journaled = JSON.parse(JSON.stringify(first)) as LlmAnswer
    await call(fake, 'openai-responses', { ...model, messages: conversation(journaled, '{}', false) })
    expect(fake.requests.map(({ body }) => [body.store, body.include])).toEqual([
      [false, ['reasoning.encrypted_content']],
      [false, ['reasoning.encrypted_content']],
    ])
    expect(fake.requests[1]?.body.input).toMatchObject([
      { role: 'developer' },
      { role: 'user' },
      { type: 'reasoning', encrypted_content: 'ZW5jcnlwdGVk', summary: [{ text: 'Let me see.' }] },
      { type: 'function_call', call_id: 'call_a' },
      { type: 'function_call_output', call_id: 'call_a', output: '{}' },
    ])
  })

  it('leaves thoughts of another vendor out', async () => {
    const thinking = { text: 'Let me see.', signature: 'c2lnbmF0dXJl' }
    await using claude = await start('anthropic', [{ kind: 'say', thinking, calls: [{ name: 'x', args: {} }] }])
    await using gpt = await start('openai', [{ kind: 'say', text: 'Done.' }])
    const first = await call(claude, 'anthropic', { tools })
    await call(gpt, 'openai', { tools, messages: conversation(first, '{}', false) })
    expect(JSON.stringify(gpt.requests[0]?.body)).not.toContain('Let me see.')
  })

  const stops: readonly [Api, string, LlmAnswer['stop']][] = [
    ['anthropic', 'refusal', 'refusal'],
    ['anthropic', 'max_tokens', 'length'],
    ['openai', 'content_filter', 'refusal'],
    ['openai', 'length', 'length'],
    ['openai-responses', 'content_filter', 'refusal'],
    ['openai-responses', 'max_output_tokens', 'length'],
    ['openai-compatible', 'content_filter', 'refusal'],
    ['openai-compatible', 'length', 'length'],
  ]
  it.each(stops)('reads the stop of %s “%s” as %s', async (api, stop, expected) => {
    await using fake = await start(api, [{ kind: 'say', text: 'I', stop }])
    expect((await call(fake, api)).stop).toBe(expected)
  })

  const overflows: readonly [Api, FakeAnswer][] = [
    ['anthropic', fail(400, 'invalid_request_error', {}, 'prompt is too long: 210000 tokens > 200000 maximum')],
    ['anthropic', fail(413, 'request_too_large', {}, 'Request exceeds the maximum size')],
    ['openai', { ...fail(400, 'invalid_request_error', {}, 'Too long.'), code: 'context_length_exceeded' }],
    ['openai-compatible', fail(400, 'BadRequestError', {}, "This model's maximum context length is 8192 tokens.")],
    ['openai-compatible', fail(400, 'exceed_context_size_error', {}, 'the request exceeds the available context size')],
  ]
  it.each(overflows)('knows a context overflow of %s (%o)', async (api, answer) => {
    await using fake = await start(api, [answer])
    expect((await failure(call(fake, api))).code).toBe('GUILD_LLM_CONTEXT_OVERFLOW')
  })

  it('does not wait for a quota that is used up', async () => {
    await using fake = await start('openai', [{ ...fail(429, 'insufficient_quota'), code: 'insufficient_quota' }])
    expect((await failure(call(fake, 'openai'))).code).toBe('GUILD_LLM_REJECTED')
  })

  it('calls a local server without a key', async () => {
    await using fake = await start('openai-compatible', [{ kind: 'say', text: 'ok' }])
    const llm = vercelLlm({
      endpoint: () => ({ api: 'openai-compatible', baseUrl: `${fake.url}/v1`, nativeOutput: false, key: null }),
    })
    await llm.call(request({}), { signal: new AbortController().signal })
    expect(fake.requests[0]?.headers.authorization).toBeUndefined()
  })

  it('says when a provider is not in the Codex any more', async () => {
    const llm = vercelLlm({ endpoint: () => null })
    const error = await failure(llm.call(request({}), { signal: new AbortController().signal }))
    expect(error.code).toBe('GUILD_PROVIDER_UNKNOWN')
  })
})

const tools = [
  { name: 'github-get_issue', description: 'Reads an issue', inputSchema: { type: 'object', properties: {} } },
  { name: 'GITHUB_COMMENT', description: 'Comments', inputSchema: { type: 'object', properties: {} } },
]

function start(api: Api, script: FakeScript): Promise<Fake> {
  return api === 'anthropic' ? startAnthropicFake(script) : startOpenaiFake(script)
}

function call(
  fake: Fake,
  api: Api,
  change: Partial<LlmRequest> = {},
  limits: { idleMs?: number; totalMs?: number } = {},
  signal: AbortSignal = new AbortController().signal,
  onUsage?: (usage: Partial<LlmUsage>) => void,
): Promise<LlmAnswer> {
  const endpoint = (): LlmEndpoint => ({ api, baseUrl: `${fake.url}/v1`, nativeOutput: false, key: new Secret(key) })
  return vercelLlm({ endpoint, ...limits }).call(request(change), { signal, ...(onUsage && { onUsage }) })
}

function request(change: Partial<LlmRequest>): LlmRequest {
  return {
    provider: 'acme',
    model: 'model-1',
    system: 'You are Sentinel.',
    messages: [{ role: 'user', text: 'What now?' }],
    tools: [],
    maxOutputTokens: 256,
    temperature: 0,
    output: null,
    facts: { event: {}, context: {}, agent: {}, rules: [] },
    ...change,
  }
}

function conversation(first: LlmAnswer, text: string, isError: boolean): LlmRequest['messages'] {
  const { opaque, toolCalls } = first
  return [
    { role: 'user', text: 'What now?' },
    { role: 'assistant', text: first.text, toolCalls, ...(opaque && { opaque }) },
    { role: 'tool', results: toolCalls.map(({ id, name }) => ({ callId: id, name, isError, text })) },
  ]
}

function fail(
  status: number,
  type: string,
  headers: Record<string, string> = {},
  message = 'no',
): Extract<FakeAnswer, { kind: 'fail' }> {
  return { kind: 'fail', status, type, message, headers }
}

async function failure(pending: Promise<unknown>): Promise<GuildError> {
  const error: unknown = await pending.then(
    (answer) => answer,
    (thrown: unknown) => thrown,
  )
  if (!isGuildError(error)) throw new Error('expected a GuildError', { cause: error })
  return error
}

function toolNames(fake: Fake): readonly string[] {
  const offered: { name?: string; function?: { name: string } }[] = fake.requests[0]?.body.tools
  return offered.map((one) => one.name ?? one.function?.name ?? '')
}

/** Everything a log line could show of an error. */
function deepText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return [error.stack, JSON.stringify(error), deepText(error.cause ?? '')].join('\n')
}
