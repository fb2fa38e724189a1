import { expect, it } from 'vitest'
import { startAnthropicFake } from '../wire/anthropic.ts'
import { type ReceivedSpan, startCollector } from '../wire/otlp.ts'
import { heraldCodex, Repository } from './codex-repository.ts'
import { echoTo, liveEnv, openSandbox, pullRequestOpened, repo, send } from './github.ts'
import { GuildProcess, temporary } from './process.ts'
import type { ActionRow, Page } from './rows.ts'
import { until } from './until.ts'

const spec = `  tools:
    allow: [{ name: github.get_pull_request }]
    actions: [{ type: GITHUB_COMMENT, autonomy: 2, within: thread }]
  model: { prefer: [anthropic/main], maxOutputTokensPerCall: 500 }
`
const files = {
  ...heraldCodex({ rules: false, spec }),
  'providers/anthropic.yaml': `apiVersion: guild/v1
kind: Provider
metadata: { name: anthropic }
spec:
  api: anthropic
  models: [{ alias: main, model: test-model, price: { version: test, inputPerMillion: 2, outputPerMillion: 10 } }]
`,
}

it(
  'tells one trace from webhook to confirmed action, whole though the process that began it was killed in the middle',
  { timeout: 180_000 },
  async () => {
    await using sandbox = await openSandbox()
    await using collector = await startCollector()
    const secretWords = 'the-words-of-the-model'
    await using fake = await startAnthropicFake([
      { kind: 'say', text: secretWords, calls: [{ name: 'github__get_pull_request', args: { repo, number: 7 } }] },
      { kind: 'hang' },
    ])
    const codex = await Repository.init('guild-codex-')
    await codex.commit(files)
    const options = {
      home: await temporary('guild-traces-'),
      env: {
        ...liveEnv(sandbox),
        CODEX_URL: codex.folder,
        LOG_LEVEL: 'warn',
        ANTHROPIC_BASE_URL: fake.url,
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      },
    }
    const body = pullRequestOpened(7)
    sandbox.github.seedFromWebhook(body)
    const first = await GuildProcess.up(options)
    await send(first.webhooks, body)
    await until(() => fake.requests.length === 2, { what: 'the second model call is on its way' })
    await first.kill()
    // What the dead process had not yet sent is lost; what comes later must not hang in the air.
    fake.script([
      { kind: 'say', calls: [{ name: 'GITHUB_COMMENT', args: { repo, number: 7, body: 'Welcome.' } }] },
      { kind: 'say', text: 'Greeted the author.' },
    ])
    const second = await GuildProcess.up(options)
    echoTo(sandbox, second.webhooks)
    const action = await until(
      async () => (await second.get<Page<ActionRow>>('/api/v1/actions')).items.find((one) => one.state === 'SUCCEEDED'),
      { withinMs: 60_000, what: 'the comment is made' },
    )
    await until(() => collector.spans.some((span) => span.name.startsWith('confirm_action')), {
      what: 'the echo has confirmed it',
    })
    const metrics = await (await second.call('GET', '/metrics')).text()
    expect(await second.stop()).toBe(0)

    const run = named(collector.spans, 'invoke_agent herald')
    const trace = collector.spans.filter((span) => span.traceId === run.traceId)
    const ids = new Set(trace.map((span) => span.spanId))
    expect(trace.filter((span) => span.parentSpanId !== '' && !ids.has(span.parentSpanId))).toEqual([])
    expect(new Set(trace.filter((span) => span.parentSpanId === '').map((span) => span.name))).toEqual(
      new Set(['receive github']),
    )
    expect(pathOf(trace, named(trace, 'confirm_action GITHUB_COMMENT'))).toEqual([
      'receive github',
      'dispatch PR_OPENED',
      'invoke_agent herald',
      'propose_action GITHUB_COMMENT',
      'confirm_action GITHUB_COMMENT',
    ])
    expect(run.attributes).toMatchObject({
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.agent.name': 'herald',
      'gen_ai.agent.version': '1.0.0',
      'guild.run.state': 'COMPLETED',
      'guild.attempt': 2,
      'guild.causal.depth': 0,
    })
    const chats = trace.filter((span) => span.name === 'chat test-model')
    expect(chats.map((span) => span.attributes['error.type'])).toEqual([undefined, 'LOST', undefined, undefined])
    expect(chats[0]?.attributes).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'anthropic',
      'gen_ai.request.model': 'test-model',
      'gen_ai.usage.input_tokens': 25,
      'gen_ai.usage.output_tokens': 12,
      'guild.price.version': 'test',
    })
    expect(named(trace, 'execute_tool github.get_pull_request').parentSpanId).toBe(run.spanId)
    expect(named(trace, 'execute_action GITHUB_COMMENT').attributes).toMatchObject({
      'guild.action.id': action.id,
      'guild.action.state': 'SUCCEEDED',
    })
    expect(named(trace, 'append_audit AGENT_INVOCATION').parentSpanId).toBe(run.spanId)
    expect(JSON.stringify(collector.spans)).not.toContain(secretWords)
    expect(metrics).toMatch(/guild_trace_spans_total\{result="exported"\} [1-9]/)
  },
)

function named(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const found = spans.find((span) => span.name === name)
  if (!found) throw new Error(`no span ${name} among ${spans.map((span) => span.name).join(', ')}`)
  return found
}

/** Names from the root down. */
function pathOf(trace: readonly ReceivedSpan[], span: ReceivedSpan): readonly string[] {
  const parent = trace.find((one) => one.spanId === span.parentSpanId)
  return parent ? [...pathOf(trace, parent), span.name] : [span.name]
}
