import { describe, expect, it, beforeAll, afterAll } from 'vitest'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { heraldCodex, Repository } from './codex-repository.ts'
import { liveEnv, openSandbox, pullRequestOpened, send, webhookSecret } from './github.ts'
import { guildJson, GuildProcess, temporary } from './process.ts'
import type { ApprovalRow, DeadRow, EventRow, Page } from './rows.ts'
import { until } from './until.ts'

let sandbox: Sandbox
let guild: GuildProcess
beforeAll(async () => {
  sandbox = await openSandbox()
  const codex = await Repository.init('guild-codex-')
  // Autonomy 1 asks a person.
  await codex.commit(heraldCodex({ spec: '  tools: { actions: [{ type: GITHUB_COMMENT, autonomy: 1 }] }' }))
  guild = await GuildProcess.up({
    home: await temporary('guild-bad-input-'),
    env: { ...liveEnv(sandbox), CODEX_URL: codex.folder, LOG_LEVEL: 'error' },
  })
}, 120_000)
afterAll(async () => {
  await guild.stop()
  await sandbox.close()
})

describe('bad input', () => {
  it('answers 401 to a wrong signature and to none', async () => {
    const body = pullRequestOpened(1)
    const wrong = await send(guild.webhooks, body, { secret: 'another' })
    const unsigned = await send(guild.webhooks, body, { headers: { 'x-hub-signature-256': undefined } })
    expect([wrong.status, unsigned.status]).toEqual([401, 401])
  })

  it('answers 413 to a body over the limit', async () => {
    const huge = Buffer.alloc(26 * 1024 * 1024, ' ')
    // The answer may come before all is sent; then the socket closes, and either says no.
    const answer = await send(guild.webhooks, huge).catch((error: unknown) => String((error as Error).cause ?? error))
    expect(typeof answer === 'string' ? answer : answer.status).toBe(413)
  })

  it('keeps broken JSON with a valid signature, answers 202, and guild dead lists it', async () => {
    const { status, delivery } = await send(guild.webhooks, '{"action": "opened", ')
    expect(status).toBe(202)
    const env = { GUILD_HOME: guild.home }
    const letter = await until(
      async () => {
        const page = await guildJson<Page<DeadRow>>(['dead'], { env })
        return page.items.find((item) => JSON.stringify(item).includes(delivery))
      },
      { what: 'the dead letter is listed' },
    )
    expect(letter.reason).toMatch(/JSON/)
  })

  it('answers 404 to an unknown source and connector', async () => {
    const unknown = await send(`${guild.url}/webhooks/nobody`, pullRequestOpened(1))
    const connector = await send(`${guild.webhooks}/nobody`, pullRequestOpened(1))
    expect([unknown.status, connector.status]).toEqual([404, 404])
  })

  it('answers the API only to a key, and lets a viewer read but not approve', async () => {
    const body = pullRequestOpened(7)
    sandbox.github.seedFromWebhook(body)
    expect((await send(guild.webhooks, body)).status).toBe(202)
    const proposal = await until(
      async () => (await guild.get<Page<ApprovalRow>>('/api/v1/approvals?state=PENDING')).items[0],
      { what: 'a proposal is on the desk' },
    )
    const made = await guild.call('POST', '/api/v1/keys', { body: { name: 'reader', role: 'viewer' } })
    const { key } = (await made.json()) as { key: string }
    const decide = { body: { approval_hash: proposal.approval_hash } }
    const approve = (who: { key?: string | null }) =>
      guild.call('POST', `/api/v1/approvals/${proposal.id}/approve`, { ...decide, ...who })
    const answers = [
      await guild.call('GET', '/api/v1/events', { key: null }),
      await guild.call('GET', '/api/v1/events', { key: 'guild_guessed' }),
      await approve({ key: null }),
      await guild.call('GET', '/api/v1/events', { key }),
      await approve({ key }),
    ]
    expect(answers.map((answer) => answer.status)).toEqual([401, 401, 401, 200, 403])
    expect(sandbox.github.received()).toEqual([])
    expect((await approve({})).status).toBe(200)
    await until(() => sandbox.github.received().length === 1, { what: 'what the admin approved is sent' })
  })

  it('has made no event of what it refused, and logs no secret', async () => {
    const { items } = await guild.get<Page<EventRow>>('/api/v1/events?type=PR_OPENED')
    expect(items).toHaveLength(1)
    expect(guild.stderr).not.toContain(webhookSecret)
  })
})
