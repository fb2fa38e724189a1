import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Sandbox } from '../../src/sandbox/sandbox.ts'
import { startAnthropicFake } from '../wire/anthropic.ts'
import type { Fake, FakeScript } from '../wire/fake.ts'
import { startOpenaiFake } from '../wire/openai.ts'
import { heraldCodex, Repository } from './codex-repository.ts'
import { commentsByNumber, echoTo, liveEnv, openSandbox, pullRequestOpened, repo, send } from './github.ts'
import { alive, descendants, type Env, guildJson, GuildProcess, temporary } from './process.ts'
import type { BudgetRow, Page, RunDetail, RunRow } from './rows.ts'
import { until } from './until.ts'

const tools = `  tools:
    allow: [{ name: github.get_pull_request }]
    actions: [{ type: GITHUB_COMMENT, autonomy: 2, within: thread }]
  model: { prefer: [PROVIDER/main], maxOutputTokensPerCall: 500 }
  limits: { maxWait: 4s }
`

const hanging = `  context: [{ id: slow, tool: toolbox.hang, timeout: 1s }]
  tools: { allow: [{ name: toolbox.hang, timeout: 1s }] }
  model: { prefer: [PROVIDER/main], maxOutputTokensPerCall: 500 }
`
const mcpServer = fileURLToPath(new URL('../wire/mcp-stdio.ts', import.meta.url))
const toolbox = `apiVersion: guild/v1
kind: Connector
metadata: { name: toolbox }
spec:
  system: github
  tools: { command: ${JSON.stringify(process.execPath)}, args: [${JSON.stringify(mcpServer)}] }
`

function codexFor(provider: 'anthropic' | 'openai', spec = tools): Record<string, string> {
  return {
    ...heraldCodex({ rules: false, spec: spec.replace('PROVIDER', provider) }),
    [`providers/${provider}.yaml`]: `apiVersion: guild/v1
kind: Provider
metadata: { name: ${provider} }
spec:
  api: ${provider}
  models: [{ alias: main, model: test-model, price: { version: test, inputPerMillion: 2, outputPerMillion: 10 } }]
`,
  }
}

/** Reads the pull request, comments with what it has read, and says that it is done. */
const conversation: FakeScript = (request, index) => {
  if (index === 0) {
    return {
      kind: 'say',
      text: 'Let me look.',
      calls: [{ name: 'github__get_pull_request', args: { repo, number: 7 } }],
    }
  }
  if (index === 1) {
    const seen = /Change 7/.test(JSON.stringify(request.body.messages)) ? 'a pull request titled Change 7' : 'nothing'
    return { kind: 'say', calls: [{ name: 'GITHUB_COMMENT', args: { repo, number: 7, body: `I see ${seen}.` } }] }
  }
  return { kind: 'say', text: 'Greeted the author.' }
}

describe.each([
  ['Anthropic', 'anthropic', startAnthropicFake, 'ANTHROPIC_BASE_URL'],
  ['OpenAI', 'openai', startOpenaiFake, 'OPENAI_BASE_URL'],
] as const)('with a server that speaks as %s does', (_, provider, startFake, variable) => {
  let sandbox: Sandbox
  let fake: Fake
  let guild: GuildProcess
  beforeAll(async () => {
    ;[sandbox, fake] = await Promise.all([openSandbox(), startFake(conversation)])
    guild = await upWith(sandbox, codexFor(provider), { [variable]: fake.url })
  }, 120_000)
  afterAll(async () => {
    await guild.stop()
    await Promise.all([sandbox.close(), fake.close()])
  })

  it('reads, comments on GitHub and counts the tokens', { timeout: 60_000 }, async () => {
    const body = pullRequestOpened(7)
    sandbox.github.seedFromWebhook(body)
    echoTo(sandbox, guild.webhooks)
    expect((await send(guild.webhooks, body)).status).toBe(202)
    const run = await endOf(guild)
    expect(run).toMatchObject({
      state: 'COMPLETED',
      provider,
      summary: 'Greeted the author.',
      // Three calls, 25 tokens in and 12 out each.
      input_tokens: 75,
      output_tokens: 36,
      cost_micros: 3 * (25 * 2 + 12 * 10),
    })
    await until(() => commentsByNumber(sandbox).get(7) === 1, { what: 'the comment is on GitHub' })
    const comment = sandbox.github.state.repository(repo)?.threads.get(7)?.comments[0]
    expect(comment?.body).toContain('I see a pull request titled Change 7.')
    expect(fake.requests).toHaveLength(3)
    expect(fake.requests.every((request) => request.body.stream === true)).toBe(true)
    expect(JSON.stringify(fake.requests[2]?.body.messages)).toContain('act_')
    const budgets = await guildJson<Page<BudgetRow>>(['budgets'], { env: { GUILD_HOME: guild.home } })
    expect(budgets.items.map((row) => [row.entity_type, row.consumed_tokens, row.reserved_tokens])).toEqual([
      ['organization', 111, 0],
      ['agent', 111, 0],
    ])
  })
})

describe('trouble', () => {
  it(
    'waits for a model that cannot be reached, tries again, and fails with the reason',
    { timeout: 120_000 },
    async () => {
      await using sandbox = await openSandbox()
      await using guild = await upWith(sandbox, codexFor('anthropic'), { ANTHROPIC_BASE_URL: await closedPort() })
      const body = pullRequestOpened(7)
      sandbox.github.seedFromWebhook(body)
      await send(guild.webhooks, body)
      const waiting = await runIn(guild, (run) => run.state === 'WAITING_RATE')
      const run = await endOf(guild)
      const { steps } = await guild.get<RunDetail>(`/api/v1/invocations/${run.id}`)
      expect(waiting.reason_detail).toMatch(/ECONNREFUSED|reach/i)
      expect(run).toMatchObject({ state: 'FAILED', reason: 'PROVIDER' })
      expect(run.reason_detail).toMatch(/ECONNREFUSED|reach/i)
      expect(steps.filter((step) => step.kind === 'llm' && step.status === 'FAILED').length).toBeGreaterThan(1)
      expect(commentsByNumber(sandbox).get(7) ?? 0).toBe(0)
      await ledgerBalances(guild)
    },
  )

  it('cuts off a tool that hangs, tells the model, and goes on', { timeout: 120_000 }, async () => {
    const hangs: FakeScript = [
      { kind: 'say', calls: [{ name: 'toolbox__hang', args: {} }] },
      { kind: 'say', text: 'The toolbox hangs; I stop here.' },
    ]
    await using sandbox = await openSandbox()
    await using fake = await startAnthropicFake(hangs)
    await using guild = await upWith(
      sandbox,
      { ...codexFor('anthropic', hanging), 'connectors/toolbox.yaml': toolbox },
      { ANTHROPIC_BASE_URL: fake.url },
      true,
    )
    await send(guild.webhooks, pullRequestOpened(7))
    const run = await endOf(guild)
    const { steps } = await guild.get<RunDetail>(`/api/v1/invocations/${run.id}`)
    expect(run).toMatchObject({ state: 'COMPLETED', summary: 'The toolbox hangs; I stop here.' })
    expect(steps.find((step) => step.kind === 'context')).toMatchObject({ name: 'slow', status: 'DONE' })
    expect(JSON.stringify(fake.requests[1]?.body.messages)).toMatch(/no answer within 1000 ms|timed? ?out/i)
    const children = descendants(guild.pid)
    expect(await guild.stop()).toBe(0)
    expect(children.filter(alive)).toEqual([])
    expect(fake.requests).toHaveLength(2)
  })
})

async function upWith(sandbox: Sandbox, files: Record<string, string>, env: Env, lock = false): Promise<GuildProcess> {
  const codex = await Repository.init('guild-codex-')
  await codex.commit(files)
  if (lock) {
    // As its owner would: look at what the server offers, and merge the file.
    await guildJson(['codex', 'lock', '--codex', codex.folder], { env: { GUILD_HOME: await temporary('guild-lock-') } })
    await codex.commit({})
  }
  return GuildProcess.up({
    home: await temporary('guild-model-'),
    env: { ...liveEnv(sandbox), CODEX_URL: codex.folder, LOG_LEVEL: 'warn', ...env },
  })
}

async function endOf(guild: GuildProcess): Promise<RunRow> {
  return runIn(guild, (run) => run.finished_at !== null)
}

async function runIn(guild: GuildProcess, is: (run: RunRow) => boolean): Promise<RunRow> {
  return until(async () => (await guild.get<Page<RunRow>>('/api/v1/invocations')).items.find(is), {
    withinMs: 60_000,
    what: 'the run is there',
  })
}

async function ledgerBalances(guild: GuildProcess): Promise<void> {
  const report = await guild.get<{ ok: boolean; problems: readonly string[] }>('/api/v1/ledger/verify')
  expect(report.problems).toEqual([])
}

async function closedPort(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}
