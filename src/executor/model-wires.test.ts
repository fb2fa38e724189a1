// The executor through the real adapter to loopback servers that speak the vendors' formats.
// Mutations (each made by hand, seen to fail, put back):
// - run.ts, the end at stop `refusal`: 'refusing stops the run for policy'
// - call-model.ts, `callId` in `normalized`: 'with ids that Anthropic takes'
// - fit-prompt.ts, `from` always 0: 'and so it stays' (the cut is undone by the next call)
// - repair-output.ts, once in a run: 'is not asked a second time for the right shape' (11 calls)
// - run.ts, `plan.closing` in repairCall: 'is not asked again where no call is left'
// - model-charge.ts, the bound of the input in brokenUsage: 'is paid for what it has begun' (OpenAI)
// - stream-step.ts, `withLastCut`: 'never has that call executed'
// - structured-output.ts, words for Anthropic: 'is asked natively for JSON although there are tools'
// Thoughts of another vendor are dropped in transcript.ts and in the adapter, tools sorted in offer-tools.ts and in the adapter: there
// one guard alone is not missed.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { Bench, type BenchSetup } from '../../test/executor-bench.ts'
import { startAnthropicFake } from '../../test/wire/anthropic.ts'
import type { Fake, FakeAnswer, FakeScript } from '../../test/wire/fake.ts'
import { startOpenaiFake } from '../../test/wire/openai.ts'
import { type Recorded, startRecorded } from '../../test/wire/recorded.ts'
import type { Database } from '../database/database.ts'
import { Secret } from '../kernel/secret.ts'
import type { LlmEndpoint } from '../llm/endpoint.ts'
import { routedLlm } from '../llm/router.ts'
import { rulesLlm } from '../llm/rules/rules-llm.ts'
import { vercelLlm } from '../llm/vercel/vercel-llm.ts'
import type { ExecutorDeps } from './executor-deps.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

/** Provider `a` of the bench speaks as Anthropic, `b` as OpenAI. */
const apis = { a: 'anthropic', b: 'openai-responses' } as const satisfies Record<string, LlmEndpoint['api']>
type Provider = keyof typeof apis
const wires = [
  ['Anthropic', 'a/one', 'anthropic'],
  ['OpenAI', 'b/two', 'openai-responses'],
] as const
const search = { tools: { allow: [{ name: 'github.search', maxCalls: 20 }] } }
const output = {
  type: 'object',
  properties: { summary: { type: 'string' }, risk: { enum: ['low', 'high'] } },
  required: ['summary', 'risk'],
  additionalProperties: false,
}

async function open(setup: BenchSetup, urls: Partial<Record<Provider, string>>) {
  const bench = await Bench.open(db, setup)
  const endpoint = (provider: string): LlmEndpoint | null => {
    const at = urls[provider as Provider]
    const api = apis[provider as Provider]
    return at ? { api, baseUrl: `${at}/v1`, nativeOutput: true, key: new Secret('test-key-0123456789') } : null
  }
  const models = vercelLlm({ endpoint, idleMs: 5_000 })
  const deps: ExecutorDeps = { ...bench.deps(), llm: routedLlm({ rules: rulesLlm(), replay: null, models }) }
  return { bench, deps }
}

const startFake = (wire: string, script: FakeScript): Promise<Fake> =>
  wire === 'anthropic' ? startAnthropicFake(script) : startOpenaiFake(script)
const urlFor = (alias: string, url: string) => ({ [alias[0] ?? '']: url }) as Partial<Record<Provider, string>>
const say = (text: string): FakeAnswer => ({ kind: 'say', text })
const searching = (id: string, page: number): FakeAnswer => ({
  kind: 'say',
  calls: [{ id, name: 'github__search', args: { page } }],
})

describe.each(wires)('%s', (_, alias, wire) => {
  const prefer = { model: { prefer: [alias, 'rules'] } }

  it('refusing stops the run for policy, is asked once and is paid as it reports', async () => {
    const files: Recorded[] = wire === 'anthropic' ? ['refusal.sse'] : ['refusal.sse', 'content-filter.sse']
    for (const file of files) {
      await using server = await startRecorded([`${wire}/${file}`])
      const { bench, deps } = await open({ spec: prefer }, urlFor(alias, server.url))
      expect(await bench.deliver(deps)).toBeNull()
      expect(server.requests).toHaveLength(1)
      const reported =
        wire === 'anthropic' ? { input_tokens: 472, output_tokens: 12 } : { input_tokens: 480, output_tokens: 15 }
      expect(await bench.row()).toMatchObject({ state: 'STOPPED', reason: 'POLICY', actions: 0, ...reported })
      expect(await bench.ledger()).toMatchObject({ open: 0, charged: 1, reserved: 0 })
    }
  })

  it('has its cache reads counted and priced as such', async () => {
    await using server = await startRecorded([`${wire}/cache.sse`])
    const { bench, deps } = await open({ spec: { model: { prefer: [alias] } } }, urlFor(alias, server.url))
    await bench.deliver(deps)
    // 1 USD for a million tokens of input and of cache writes, 2 for output, 0.1 for cache reads.
    const cost = wire === 'anthropic' ? 50 + 1_800 + 456 + 10 : 86 + 192 + 600
    expect(await bench.row()).toMatchObject({
      state: 'COMPLETED',
      input_tokens: wire === 'anthropic' ? 18_506 : 2_006,
      cost_micros: cost,
    })
  })

  it('breaking off in the middle of an answer is paid for what it has begun, and asked again', async () => {
    await using server = await startRecorded([`${wire}/truncated.cut.sse`, `${wire}/text.sse`])
    const { bench, deps } = await open({ spec: { model: { prefer: [alias] } } }, urlFor(alias, server.url))
    await bench.finish(deps)
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', model_calls: 2 })
    expect(await bench.ledger()).toMatchObject({ charged: 2, open: 0, reserved: 0 })
    const { tokens, consumed } = await bench.ledger()
    expect(tokens).toBe(consumed)
    expect(Number(tokens)).toBeGreaterThan(wire === 'anthropic' ? 472 + 487 : 495 + 500)
  })

  it('cut at its limit in the middle of a call never has that call executed', async () => {
    await using server = await startRecorded([`${wire}/max-tokens-before-arguments.sse`, `${wire}/text.sse`])
    const allow = [{ name: 'github.get_issue' }, { name: 'github.list_issues' }]
    const { bench, deps } = await open(
      {
        spec: { model: { prefer: [alias] }, tools: { allow } },
        reads: { 'github.get_issue': { text: 'seven' }, 'github.list_issues': {} },
      },
      urlFor(alias, server.url),
    )
    await bench.finish(deps)
    expect(bench.reads).toEqual([{ name: 'github.get_issue', args: { number: 7 } }])
    expect(JSON.stringify(server.requests[1]?.body)).toContain('the arguments must be an object')
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED' })
  })

  it('is sent the same bytes before the context by every run of an agent version', async () => {
    await using server = await startFake(wire, [say('ok')])
    const reads = { 'github.search': {}, 'github.aaa': {}, 'github.zzz': {} }
    const names = Object.keys(reads)
    const prefixes = new Set<string>()
    const suffixes = new Set<string>()
    for (let run = 0; run < 6; run += 1) {
      // Another event, another author, another order of the tools in manifest and server.
      const order = names.toSorted(
        (a, b) => ((a.charCodeAt(7) * (run + 3)) % 11) - ((b.charCodeAt(7) * (run + 3)) % 11),
      )
      const { bench, deps } = await open(
        {
          spec: {
            model: { prefer: [alias] },
            context: [{ id: 'pr', tool: 'github.pr' }],
            tools: { allow: order.map((name) => ({ name })), actions: [{ type: 'GITHUB_COMMENT' }, { type: 'AAA' }] },
          },
          reads: { ...Object.fromEntries(order.map((name) => [name, {}])), 'github.pr': { text: `change ${run}` } },
          payload: { number: run, title: `Title ${run}`, at: new Date(run).toISOString() },
          actor: run % 2 === 0 ? 'member' : 'verified',
          output,
        },
        urlFor(alias, server.url),
      )
      await bench.deliver(deps)
      const { body } = server.requests.at(-1) ?? { body: {} }
      const { messages, input, prompt_cache_key: key, ...rest } = body
      const instructions = input?.[0]
      // Agents of the bench are named by a number: here they are one.
      prefixes.add(JSON.stringify({ ...rest, instructions, key: key?.replace(bench.agent.id, 'agent') }))
      suffixes.add(JSON.stringify(messages ?? input.slice(1)))
      expect(JSON.stringify({ ...rest, instructions })).not.toContain(bench.id)
    }
    expect(prefixes.size).toBe(1)
    expect(suffixes.size).toBe(6)
  })

  it('is asked natively for JSON although there are tools, and once more where the answer misses the schema', async () => {
    const good = '{"summary":"Two files.","risk":"low"}'
    await using server = await startFake(wire, [searching('call_1', 1), say('{"summary":"Two files."}'), say(good)])
    const { bench, deps } = await open(
      { spec: { ...search, model: { prefer: [alias] } }, reads: { 'github.search': { text: 'x' } }, output },
      urlFor(alias, server.url),
    )
    expect(await bench.deliver(deps)).toBeNull()
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', model_calls: 3, summary: 'Two files.' })
    expect(server.requests).toHaveLength(3)
    for (const { body } of server.requests) {
      const format = body.output_config?.format ?? body.text?.format
      expect(format).toMatchObject({ type: 'json_schema', schema: { required: ['summary', 'risk'] } })
      expect(body.tools).toHaveLength(1)
      expect(body.tool_choice?.type ?? body.tool_choice ?? 'auto').toBe('auto')
      expect(JSON.stringify(body)).not.toContain('valid against this JSON Schema')
    }
    expect(JSON.stringify(server.requests[2]?.body)).toContain("must have required property 'risk'")
    expect(await bench.decisions()).not.toContainEqual(expect.stringMatching(/^OUTPUT_INVALID/))
  })

  it('is not asked a second time for the right shape, and the answer stays as it is', async () => {
    await using server = await startFake(wire, [say('no JSON at all')])
    const { bench, deps } = await open({ spec: { model: { prefer: [alias] } }, output }, urlFor(alias, server.url))
    await bench.deliver(deps)
    expect(server.requests).toHaveLength(2)
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', summary: 'no JSON at all' })
    expect(await bench.decisions()).toContainEqual(expect.stringMatching(/^OUTPUT_INVALID/))
  })

  it('is not asked again where no call is left', async () => {
    await using server = await startFake(wire, [say('no JSON at all')])
    const spec = { model: { prefer: [alias] }, limits: { maxSteps: 2 } }
    const { bench, deps } = await open({ spec, output }, urlFor(alias, server.url))
    await bench.deliver(deps)
    expect(server.requests).toHaveLength(1)
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED' })
    expect(await bench.decisions()).toContainEqual(expect.stringMatching(/^OUTPUT_INVALID/))
  })

  it('finding the prompt too long is sent less of it, never less of the rules, and so it stays', async () => {
    const tooLong: Recorded = `${wire}/prompt-too-long.http`
    await using long = await startRecorded([tooLong, `${wire}/parallel-tools.sse`, `${wire}/text.sse`])
    const context = [
      { id: 'plan', codex: 'plan.md', required: true },
      { id: 'first', codex: 'first.md', required: false, priority: 90 },
      { id: 'second', codex: 'second.md', required: false, priority: 10 },
    ]
    const files = { 'plan.md': 'PLAN', 'first.md': 'FIRST '.repeat(40), 'second.md': 'SECOND '.repeat(400) }
    const { bench, deps } = await open(
      {
        spec: { model: { prefer: [alias] }, context, tools: { allow: [{ name: 'github.get_issue' }] } },
        files,
        reads: { 'github.get_issue': { text: 'x' } },
        output,
      },
      urlFor(alias, long.url),
    )
    expect(await bench.deliver(deps)).toBeNull()
    const [whole, ...cut] = long.requests.map(({ body }) => JSON.stringify(body))
    expect(whole).toContain('SECOND SECOND')
    for (const body of cut) {
      expect(body).not.toContain('SECOND SECOND')
      for (const kept of ['PLAN', 'FIRST FIRST', 'You are the Sentinel.', 'Add a cart', '"risk"'])
        expect(body).toContain(kept)
    }
    // The third asks once more for JSON, which this answer is not.
    expect(cut).toHaveLength(3)
    const trimmed = (await bench.decisions()).filter((line) => line.startsWith('CONTEXT_TRIMMED'))
    expect(trimmed).toEqual([expect.stringContaining('found the prompt too long: left out context second')])
  })
})

describe('a run that has an answer', () => {
  const prefer = { ...search, model: { prefer: ['a/one', 'b/two'] } }

  it('moves from Anthropic to OpenAI when its provider dies in the middle, without a word of the other’s own', async () => {
    const thinking = { text: 'SECRET THOUGHT', signature: 'c2lnbmF0dXJl' }
    await using claude = await startAnthropicFake([
      {
        kind: 'say',
        thinking,
        text: 'Looking.',
        calls: [{ id: 'toolu_01A', name: 'github__search', args: { page: 1 } }],
      },
      { kind: 'fail', status: 500, type: 'api_error', message: 'down' },
    ])
    await using gpt = await startOpenaiFake([say('Done by the other.')])
    const { bench, deps } = await open(
      { spec: prefer, reads: { 'github.search': { text: 'found' } } },
      { a: claude.url, b: gpt.url },
    )
    await bench.finish(deps)
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', provider: 'b', summary: 'Done by the other.' })
    expect([claude.requests.length, gpt.requests.length]).toEqual([3, 1])
    const { input } = gpt.requests[0]?.body ?? { input: [] }
    expect(input.slice(2)).toMatchObject([
      { role: 'assistant', content: 'Looking.' },
      { type: 'function_call', call_id: 'toolu_01A', name: 'github__search', arguments: '{"page":1}' },
      { type: 'function_call_output', call_id: 'toolu_01A' },
    ])
    expect(JSON.stringify(input)).not.toMatch(/SECRET THOUGHT|c2lnbmF0dXJl/)
    expect(bench.reads).toHaveLength(1)
    expect(await bench.decisions()).toContainEqual(
      expect.stringMatching(/^MODEL_SKIPPED: b\/two answers instead of a\/one/),
    )
  })

  it('moves from OpenAI to Anthropic likewise, with ids that Anthropic takes', async () => {
    await using gpt = await startOpenaiFake([
      {
        kind: 'say',
        thinking: { text: 'hm', signature: 'ZW5j' },
        calls: [{ id: 'fc|odd:id.1', name: 'github__search', args: { page: 1 } }],
      },
      { kind: 'fail', status: 500, type: 'server_error', message: 'down' },
    ])
    await using claude = await startAnthropicFake([say('Done.')])
    const { bench, deps } = await open(
      { spec: { ...search, model: { prefer: ['b/two', 'a/one'] } }, reads: { 'github.search': { text: 'found' } } },
      { a: claude.url, b: gpt.url },
    )
    await bench.finish(deps)
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', provider: 'a' })
    const sent = JSON.stringify(claude.requests[0]?.body.messages)
    const used = /"type":"tool_use","id":"([^"]+)"/.exec(sent)?.[1]
    expect(used).toMatch(/^[a-zA-Z0-9_-]{1,64}$/)
    expect(sent).toContain(`"tool_use_id":"${used}"`)
    expect(sent).not.toContain('ZW5j')
  })

  it('stays with what answered while that is alive, and never falls back to rules unasked', async () => {
    await using claude = await startAnthropicFake([{ kind: 'fail', status: 500, type: 'api_error', message: 'down' }])
    await using gpt = await startOpenaiFake([
      searching('call_1', 1),
      { kind: 'fail', status: 500, type: 'server_error', message: 'down' },
    ])
    const { bench, deps } = await open(
      { spec: prefer, reads: { 'github.search': { text: 'x' } } },
      { a: claude.url, b: gpt.url },
    )
    await bench.finish(deps)
    expect(await bench.row()).toMatchObject({ state: 'FAILED', reason: 'PROVIDER', actions: 0 })
    expect(await bench.journal()).not.toContainEqual(expect.stringContaining('llm rules'))
  })

  it('reads the conversation up to its last call from the cache', async () => {
    await using claude = await startAnthropicFake([searching('toolu_1', 1), say('Done.')])
    const { bench, deps } = await open(
      { spec: { ...search, model: { prefer: ['a/one'] } }, reads: { 'github.search': { text: 'x' } } },
      { a: claude.url },
    )
    await bench.deliver(deps)
    const marks = claude.requests.map(({ body }) => [
      body.system.at(-1).cache_control,
      body.messages.at(-1).content.at(-1).cache_control,
    ])
    expect(marks).toEqual([
      [{ type: 'ephemeral' }, { type: 'ephemeral' }],
      [{ type: 'ephemeral' }, { type: 'ephemeral' }],
    ])
    const [, second] = claude.requests
    expect(JSON.stringify(second?.body).match(/cache_control/g)).toHaveLength(2)
  })
})

describe('retry-after', () => {
  it.each([
    ['in seconds', () => '90', 88_000],
    ['as a date', () => new Date(Date.now() + 120_000).toUTCString(), 100_000],
  ])(
    '%s is waited for without lease or reservation, and not beyond what the manifest allows',
    async (_, header, atLeast) => {
      const limited = (): FakeAnswer => ({
        kind: 'fail',
        status: 429,
        type: 'rate_limit_error',
        message: 'slow down',
        headers: { 'retry-after': header() },
      })
      await using server = await startAnthropicFake(() => limited())
      const { bench, deps } = await open({ spec: { model: { prefer: ['a/one'] } } }, { a: server.url })
      expect((await bench.deliver(deps))?.delayMs).toBeGreaterThan(atLeast)
      expect(await bench.row()).toMatchObject({ state: 'WAITING_RATE', lease_owner: null })
      expect(await bench.ledger()).toMatchObject({ open: 0, reserved: 0, charged: 0 })
      const short = await open(
        { spec: { model: { prefer: ['a/one'] }, limits: { maxWait: '60s' } } },
        { a: server.url },
      )
      expect(await short.bench.deliver(short.deps)).toBeNull()
      expect(await short.bench.row()).toMatchObject({ state: 'FAILED', reason: 'PROVIDER' })
    },
  )
})
