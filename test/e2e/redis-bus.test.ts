import { expect, it } from 'vitest'
import { testPostgres } from '../postgres.ts'
import { testRedis } from '../redis.ts'
import { heraldCodex, Repository } from './codex-repository.ts'
import { commentsByNumber, echoTo, liveEnv, openSandbox, pullRequestOpened, sendUntilAccepted } from './github.ts'
import { guild, GuildProcess, temporary } from './process.ts'
import type { Status } from './rows.ts'
import { until } from './until.ts'

const deliveries = 40
const postgres = await testPostgres()
const redis = await testRedis()

it.skipIf(postgres === null || redis === null)(
  'carries every delivery to one comment over PostgreSQL and Redis, through a kill of Redis with its data and one without',
  { timeout: 300_000 },
  async () => {
    if (postgres === null || redis === null) return
    await using sandbox = await openSandbox()
    const bodies = Array.from({ length: deliveries }, (_, index) => pullRequestOpened(index + 1))
    for (const body of bodies) sandbox.github.seedFromWebhook(body)
    const codex = await Repository.init('guild-codex-')
    await codex.commit(heraldCodex())
    const home = await temporary('guild-redis-bus-')
    const stores = { DATABASE_URL: await postgres.newDatabase(), EVENT_BUS_URL: redis.url }
    const env = { ...liveEnv(sandbox), ...stores, CODEX_URL: codex.folder, LOG_LEVEL: 'warn' }
    await using up = await GuildProcess.up({ home, env })
    echoTo(sandbox, up.webhooks)

    const status = await up.get<Status>('/api/v1/status')
    expect(status.bus).toBe(`${redis.url} for runs and actions, postgres for the rest`)
    const send = async (from: number, to: number) => {
      for (const [index, body] of [...bodies.entries()].slice(from, to)) {
        await sendUntilAccepted(() => up.webhooks, body, `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`)
      }
    }
    const commented = (count: number) => () =>
      [...commentsByNumber(sandbox).values()].filter((comments) => comments > 0).length >= count
    await send(0, 10)
    await until(commented(10), { withinMs: 60_000, what: 'the first ten are answered' })
    expect(Number(await redis.command('XLEN', '{guild}:bus:stream:guild.actions.outbound'))).toBeGreaterThan(0)

    const sending = send(10, deliveries)
    await until(commented(15), { withinMs: 60_000, what: 'some more are answered' })
    await redis.restart('kept')
    await until(commented(20), { withinMs: 60_000, what: 'it goes on after Redis was killed' })
    await redis.restart('lost')
    const lostAt = Date.now()
    await sending
    await until(commented(deliveries), { withinMs: 90_000, what: 'all are answered, also those that Redis has lost' })
    const recoveredMs = Date.now() - lostAt

    await until(
      async () => {
        const { runs, actions } = await up.get<Status>('/api/v1/status')
        return runs['COMPLETED'] === deliveries && actions['SUCCEEDED'] === deliveries
      },
      { withinMs: 60_000, what: 'every run and action has ended' },
    )
    expect([...commentsByNumber(sandbox).values()].every((comments) => comments === 1)).toBe(true)
    const command = { env: { GUILD_HOME: home, ...stores } }
    const audit = await guild(['audit', 'verify'], command)
    const doctor = await guild(['doctor'], command)
    expect([audit.code, doctor.code], `${audit.stderr}${doctor.stdout}`).toEqual([0, 0])
    expect(doctor.stdout).toContain(`bus: ${redis.url}, Redis `)
    expect(await up.stop()).toBe(0)
    process.stderr.write(
      `redis bus: ${deliveries} deliveries; all answered ${recoveredMs} ms after Redis lost its data\n`,
    )
  },
)

it.skipIf(postgres === null || redis === null)(
  'runs what waited on a Redis that lost its data before any executor was there',
  { timeout: 200_000 },
  async () => {
    if (postgres === null || redis === null) return
    await redis.flush()
    await using sandbox = await openSandbox()
    const bodies = [1, 2, 3].map((number) => pullRequestOpened(number))
    for (const body of bodies) sandbox.github.seedFromWebhook(body)
    const codex = await Repository.init('guild-codex-')
    await codex.commit(heraldCodex())
    const stores = { DATABASE_URL: await postgres.newDatabase(), EVENT_BUS_URL: redis.url }
    const env = { ...liveEnv(sandbox), ...stores, CODEX_URL: codex.folder, LOG_LEVEL: 'warn' }
    const start = async (...args: readonly string[]) =>
      GuildProcess.up({ home: await temporary('guild-role-'), env, args: ['run', ...args] })
    await using front = await start('gateway', 'dispatcher')
    for (const [index, body] of bodies.entries()) {
      await sendUntilAccepted(() => front.webhooks, body, `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`)
    }
    const stream = '{guild}:bus:stream:guild.events.agent.herald'
    const waiting = async () => Number(await redis.command('XLEN', stream)) === bodies.length
    await until(waiting, { what: 'the messages of three runs are in Redis' })
    await redis.restart('lost')
    expect(await redis.command('XLEN', stream)).toBe(0)
    await using back = await start('executor', 'actions', 'audit')
    const answered = () => [...commentsByNumber(sandbox).values()].filter((comments) => comments > 0).length === 3
    await until(answered, { withinMs: 60_000, what: 'all three are answered' })
    expect([await back.stop(), await front.stop()]).toEqual([0, 0])
  },
)
