import { expect, it } from 'vitest'
import { testPostgres } from '../postgres.ts'
import { heraldCodex, Repository } from './codex-repository.ts'
import { commentsByNumber, liveEnv, openSandbox, pullRequestOpened, send } from './github.ts'
import { guild, GuildProcess, temporary } from './process.ts'
import type { Status } from './rows.ts'
import { until } from './until.ts'

const copies = 50
const server = await testPostgres()

it.skipIf(server === null)(
  'makes one event, one run and one comment of a delivery sent 50 times at once to two gateways on one database',
  { timeout: 180_000 },
  async () => {
    await using sandbox = await openSandbox()
    const codex = await Repository.init('guild-codex-')
    await codex.commit(heraldCodex())
    const env = {
      ...liveEnv(sandbox),
      CODEX_URL: codex.folder,
      LOG_LEVEL: 'warn',
      DATABASE_URL: (await server?.newDatabase('empty')) ?? '',
    }
    const early = await guild(['up'], { env: { ...env, GUILD_HOME: await temporary('guild-early-') } })
    expect(early).toMatchObject({ code: 1, stderr: expect.stringContaining('guild migrate') })
    expect((await guild(['migrate'], { env: { ...env, GUILD_HOME: await temporary('guild-migrate-') } })).code).toBe(0)
    await using one = await GuildProcess.up({ home: await temporary('guild-one-'), env })
    await using two = await GuildProcess.up({
      home: await temporary('guild-two-'),
      env,
      args: ['run', 'gateway', 'dispatcher', 'executor', 'actions'],
    })

    const body = pullRequestOpened(7)
    sandbox.github.seedFromWebhook(body)
    const delivery = '11111111-2222-4333-8444-555555555555'
    const answers = await Promise.all(
      Array.from({ length: copies }, (_, index) =>
        send(index % 2 === 0 ? one.webhooks : two.webhooks, body, { delivery }),
      ),
    )
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([202]))
    const status = await until(
      async () => {
        const status = await two.get<Status>('/api/v1/status')
        return status.received >= copies && status.actions['SUCCEEDED'] === 1 && status
      },
      { what: 'all are received and the comment is made' },
    )
    expect(status).toMatchObject({
      dispositions: { ROUTED: 1, DUPLICATE: copies - 1 },
      runs: { COMPLETED: 1 },
      actions: { SUCCEEDED: 1 },
      dead: 0,
    })
    expect(commentsByNumber(sandbox).get(7)).toBe(1)
    expect(sandbox.github.received()).toHaveLength(1)
    for (const command of [['audit', 'verify'], ['ledger', 'verify'], ['doctor']]) {
      expect(await guild(command, { env: { ...env, GUILD_HOME: one.home } })).toMatchObject({ code: 0 })
    }
    expect(await one.stop()).toBe(0)
    expect(await two.stop('SIGINT')).toBe(0)
  },
)
