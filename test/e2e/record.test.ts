import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startAnthropicFake } from '../wire/anthropic.ts'
import { heraldCodex, Repository } from './codex-repository.ts'
import { liveEnv, openSandbox, pullRequestOpened, repo, send } from './github.ts'
import { type Env, guild, guildJson, GuildProcess, temporary } from './process.ts'
import type { ActionRow, Page, RunRow } from './rows.ts'
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
const leaked = `ghp_${'A1b2C3d4E5f6'.repeat(3)}`

it(
  'records a run that a model answered and gives it again without a server: the same actions',
  { timeout: 240_000 },
  async () => {
    await using sandbox = await openSandbox()
    const body = pullRequestOpened(7)
    sandbox.github.seedFromWebhook(body)
    const codex = await Repository.init('guild-codex-')
    await codex.commit(files)
    // Shadow: what is written would be read by the second run.
    const env = { ...liveEnv(sandbox), GUILD_LIVE: '', CODEX_URL: codex.folder, LOG_LEVEL: 'warn' }
    const folder = join(await temporary('guild-recording-'), 'run')

    const home = await temporary('guild-record-')
    const bought = await (async () => {
      await using fake = await startAnthropicFake([
        { kind: 'say', text: 'Let me look.', calls: [{ name: 'github__get_pull_request', args: { repo, number: 7 } }] },
        { kind: 'say', calls: [{ name: 'GITHUB_COMMENT', args: { repo, number: 7, body: 'Welcome, Change 7.' } }] },
        { kind: 'say', text: `Greeted the author; the token is ${leaked}.` },
      ])
      return await runOnce(home, { ...env, ANTHROPIC_BASE_URL: fake.url }, body)
    })()
    const command = { env: { GUILD_HOME: home } }
    const recorded = await guildJson<{ answers: number; event: string }>(
      ['runs', 'record', bought.run.id, '--to', folder],
      command,
    )
    expect(recorded.answers).toBe(3)
    expect(JSON.parse(readFileSync(recorded.event, 'utf8'))).toMatchObject({ number: 7 })
    const words = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
    expect(words.join()).toContain('Let me look.')
    expect(words.join()).not.toContain(leaked)

    const replayed = await runOnce(await temporary('guild-replay-'), { ...env, GUILD_REPLAY: folder }, body)
    expect(replayed.run).toMatchObject({
      state: 'COMPLETED',
      provider: 'replay',
      model: 'anthropic/test-model',
      cost_micros: 0,
    })
    expect(replayed.actions).toEqual(bought.actions)
    expect(replayed.actions).toEqual([['GITHUB_COMMENT', `${repo}#7`, { repo, number: 7, body: 'Welcome, Change 7.' }]])

    const shown = await guild(['runs', 'show', bought.run.id], command)
    expect(shown.stdout).toContain('anthropic/test-model')
    expect(shown.stdout).toContain('│ Let me look.')
    expect(shown.stdout).toMatch(/read {3}github\.get_pull_request/)
    expect(shown.stdout).toMatch(/write {2}GITHUB_COMMENT on acme\/payments-api#7 {2}\S+ → SHADOWED/)
    expect(shown.stdout).toMatch(/3 calls, 111 tokens, \$0\.00051/)

    rmSync(join(home, 'artifacts'), { recursive: true })
    const refused = await guild(['runs', 'record', bought.run.id, '--to', `${folder}-2`], command)
    expect([refused.code, refused.stdout]).toEqual([1, ''])
    expect(refused.stderr).toContain('GUILD_TRANSCRIPT_GONE')
  },
)

async function runOnce(home: string, env: Env, body: object) {
  await using guild = await GuildProcess.up({ home, env })
  await send(guild.webhooks, body)
  const run = await until(
    async () => (await guild.get<Page<RunRow>>('/api/v1/invocations')).items.find((one) => one.finished_at !== null),
    { withinMs: 60_000, what: 'the run is over' },
  )
  const rows = await until(
    async () => {
      const { items } = await guild.get<Page<ActionRow>>('/api/v1/actions')
      return items.every((one) => one.state === 'SHADOWED') && items
    },
    { what: 'its actions are shadowed' },
  )
  await guild.stop()
  return { run, actions: rows.map(({ type, target, args }) => [type, target, args]) }
}
