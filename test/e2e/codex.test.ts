import { expect, it } from 'vitest'
import { heraldCodex, Repository } from './codex-repository.ts'
import { echoTo, liveEnv, openSandbox, pullRequestOpened, repo, send } from './github.ts'
import { guild, guildJson, GuildProcess, temporary } from './process.ts'
import type { Status } from './rows.ts'
import { until } from './until.ts'

it(
  'refuses an invalid commit with file and line, serves the old one meanwhile, and then the fixed one',
  { timeout: 180_000 },
  async () => {
    await using sandbox = await openSandbox()
    const codex = await Repository.init('guild-codex-')
    const first = await codex.commit(heraldCodex())
    await using up = await GuildProcess.up({
      home: await temporary('guild-codex-change-'),
      env: { ...liveEnv(sandbox), CODEX_URL: codex.folder, CODEX_REFRESH_MS: '200', LOG_LEVEL: 'silent' },
    })
    echoTo(sandbox, up.webhooks)
    const env = { GUILD_HOME: up.home }
    const serving = async () => (await up.get<Status>('/api/v1/status')).codex
    const comment = async (number: number): Promise<string> => {
      const body = pullRequestOpened(number)
      sandbox.github.seedFromWebhook(body)
      expect((await send(up.webhooks, body)).status).toBe(202)
      return until(() => sandbox.github.state.repository(repo)?.threads.get(number)?.comments[0]?.body, {
        what: `a comment on #${number}`,
      })
    }
    expect(await comment(1)).toContain('Welcome, Change 1.')

    const broken = await codex.commit(brokenCodex())
    const problem = await until(async () => (await serving()).problems, { what: 'the commit is refused' })
    expect(problem.commit).toBe(broken)
    expect((await serving()).commit).toBe(first)
    const said = /rules\/herald\.yaml:7 /
    const status = await guild(['status'], { env })
    const doctor = await guild(['doctor'], { env })
    expect([status.code, status.stdout]).toEqual([0, expect.stringMatching(said)])
    expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringMatching(said)])
    expect(await comment(2)).toContain('Welcome, Change 2.')

    const fixed = await codex.commit(heraldCodex({ version: '1.1.0', body: 'Be greeted, {{payload.title}}.' }))
    await until(async () => (await serving()).commit === fixed, { what: 'the fixed commit serves' })
    expect((await serving()).problems).toBeNull()
    expect(await comment(3)).toContain('Be greeted, Change 3.')
    const { checks } = await guildJson<{ checks: readonly { name: string; verdict: string }[] }>(['doctor'], { env })
    expect(checks.find((check) => check.name === 'codex')?.verdict).toBe('ok')
  },
)

/** Line 7 of the rules: a condition that is no CEL. */
function brokenCodex(): Record<string, string> {
  const files = heraldCodex({ version: '1.1.0', body: 'never said' })
  return { ...files, 'rules/herald.yaml': files['rules/herald.yaml']?.replace("'PR_OPENED'", "'PR_OPENED") ?? '' }
}
