import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { PostgresDatabase } from '../../src/database/postgres/postgres-database.ts'
import { roles } from '../../src/processes/roles.ts'
import { testPostgres } from '../postgres.ts'
import { testRedis } from '../redis.ts'
import { startAnthropicFake } from '../wire/anthropic.ts'
import type { FakeAnswer } from '../wire/fake.ts'
import { heraldCodex, Repository } from './codex-repository.ts'
import { commentsByNumber, liveEnv, openSandbox, pullRequestOpened, repo, send } from './github.ts'
import { type Env, guild, guildJson, GuildProcess, temporary } from './process.ts'
import type { Status } from './rows.ts'
import { until } from './until.ts'

const server = await testPostgres()
const redis = await testRedis()
const buses: readonly (readonly [string, Env])[] = [
  ['postgres', {}],
  ...(redis ? [['redis', { EVENT_BUS_URL: redis.url }] as const] : []),
]

it.skipIf(server === null)(
  'as fourteen processes, two of each role in one home, ends every event once and does nothing twice, also while half of them are stopped',
  { timeout: 240_000 },
  async () => {
    const deliveries = 200
    await using sandbox = await openSandbox()
    const codex = await Repository.init('guild-codex-')
    await codex.commit(heraldCodex())
    const home = await temporary('guild-roles-')
    // A URL, not a folder: all of them fetch it into one mirror at the same time.
    const env = await migrated({ ...liveEnv(sandbox), CODEX_URL: `file://${codex.folder}`, DATABASE_CONNECTIONS: '2' })
    const pairs = await Promise.all(
      roles.map((role) => Promise.all([0, 1].map(() => GuildProcess.up({ home, env, args: ['run', role] })))),
    )
    const [gateways = [], ...workers] = pairs
    const [first, second] = gateways
    if (!first || !second) throw new Error('two gateways were started')

    await expectDoors(first, workers[0]?.[0] ?? first)
    const bodies = Array.from({ length: deliveries }, (_, index) => pullRequestOpened(index + 1))
    for (const body of bodies) sandbox.github.seedFromWebhook(body)
    const stopping = Promise.withResolvers<readonly unknown[]>()
    const queue = bodies.entries()
    const stream = Array.from({ length: 4 }, async () => {
      for (const [index, body] of queue) {
        const delivery = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`
        const answers = await Promise.all(gateways.map(({ webhooks }) => send(webhooks, body, { delivery })))
        expect(answers.map(({ status }) => status)).toEqual([202, 202])
        if (index === deliveries / 2) stopping.resolve(Promise.all(workers.map(async ([one]) => one?.stop())))
      }
    })
    await Promise.all(stream)
    expect(await stopping.promise).toEqual(workers.map(() => 0))

    const status = await until(
      async () => {
        const now = await first.get<Status>('/api/v1/status')
        return now.actions['SUCCEEDED'] === deliveries && now.received === 2 * deliveries && now
      },
      { withinMs: 90_000, what: 'every delivery has become a comment' },
    )
    expect(status).toMatchObject({
      dispositions: { ROUTED: deliveries, DUPLICATE: deliveries },
      runs: { COMPLETED: deliveries },
      actions: { SUCCEEDED: deliveries },
      dead: 0,
    })
    const comments = [...commentsByNumber(sandbox).values()]
    expect([comments.length, Math.max(...comments)]).toEqual([deliveries, 1])
    await until(async () => (await doctor(home, env)).ok, { what: 'the doctor finds nothing', pollMs: 500 })
    const left = [...gateways, ...workers.flatMap(([, two]) => (two ? [two] : []))]
    expect(await Promise.all(left.map((process) => process.stop()))).toEqual(left.map(() => 0))
  },
)

it.skipIf(server === null).each(buses)(
  'hands runs in the middle of a model call to another executor at once when one is told to stop, bus: %s',
  { timeout: 120_000 },
  async (bus, busEnv) => {
    const runs = 50
    await using sandbox = await openSandbox()
    await using fake = await startAnthropicFake(({ body }) => slowAnswer(JSON.stringify(body.messages)))
    const codex = await Repository.init('guild-codex-')
    await codex.commit(modelCodex())
    const url = await server?.newDatabase()
    const env: Env = {
      ...liveEnv(sandbox),
      CODEX_URL: codex.folder,
      ANTHROPIC_BASE_URL: fake.url,
      DATABASE_URL: url,
      DATABASE_CONNECTIONS: '5',
      ...busEnv,
    }
    const start = async (...which: string[]) =>
      GuildProcess.up({ home: await temporary('guild-drain-'), env, args: ['run', ...which] })
    const [front, leaving] = await Promise.all([start('gateway', 'dispatcher', 'actions', 'audit'), start('executor')])
    await using staying = await start('executor')
    for (let number = 1; number <= runs; number += 1) {
      const body = pullRequestOpened(number)
      sandbox.github.seedFromWebhook(body)
      expect((await send(front.webhooks, body)).status).toBe(202)
    }
    await until(() => fake.requests.length >= 20, { pollMs: 5, what: 'twenty calls are under way' })
    const began = performance.now()
    expect(await leaving.stop()).toBe(0)
    const drainedMs = Math.round(performance.now() - began)
    expect(drainedMs).toBeLessThan(10_000)
    expect(leaving.stderr).toContain('"msg":"stopped"')

    await using db = await PostgresDatabase.open({ url: url ?? '', connectionsMax: 1 })
    await until(
      async () => {
        const { rows } = await db.query<{ count: number }>({ name: '', text: finished })
        return rows[0]?.count === runs
      },
      { withinMs: 60_000, what: 'every comment is made' },
    )
    const { rows } = await db.query<{ runs: number; waited_ms: number; failures: number; attempts: number }>({
      name: '',
      text: handedBack,
    })
    const [handed] = rows
    process.stderr.write(
      `drain, bus ${bus}: stopped in ${drainedMs} ms with ${handed?.runs} of ${runs} runs in a model call; taken over within ${handed?.waited_ms} ms at most\n`,
    )
    expect(handed?.runs).toBeGreaterThan(4)
    expect(handed?.waited_ms).toBeLessThan(5_000)
    expect(handed).toMatchObject({ failures: 0, attempts: 2 })
    expect([...commentsByNumber(sandbox).values()]).toEqual(Array.from({ length: runs }, () => 1))
    expect(await guild(['ledger', 'verify'], { env: { ...env, GUILD_HOME: front.home } })).toMatchObject({ code: 0 })
    expect(await Promise.all([front.stop(), staying.stop()])).toEqual([0, 0])
  },
)

it.skipIf(server === null)(
  'waits for a database that is not up yet, is alive but not ready while it is gone, and keeps to its port',
  { timeout: 120_000 },
  async () => {
    if (server === null) return
    const env = { ...(await migrated({})), GITHUB_WEBHOOK_SECRET: 'a-secret-of-the-tests' }
    await server.stop()
    const home = await temporary('guild-late-')
    const starting = GuildProcess.up({ home, env, args: ['run', 'gateway'] })
    // Once it has been refused for certain: a process takes less than that to its first attempt.
    const impatient = await guild(['run', 'gateway'], { env: { ...env, STARTUP_WAIT_MS: '100', GUILD_HOME: home } })
    expect(impatient).toMatchObject({ code: 1, stderr: expect.stringContaining('GUILD_DATABASE_UNAVAILABLE') })
    expect(impatient.stderr).toContain('not up yet, waiting for it')
    await server.resume()
    await using late = await starting

    const { port } = new URL(late.url)
    const second = await guild(['run', 'gateway'], { env: { ...env, PORT: port, GUILD_HOME: home } })
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('GUILD_PORT_IN_USE') })
    const wrong = { ...env, DATABASE_URL: env.DATABASE_URL?.replace(/\/test_\d+$/, '/nobody') }
    const began = performance.now()
    expect(await guild(['run', 'gateway'], { env: { ...wrong, GUILD_HOME: home } })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('does not exist'),
    })
    expect(performance.now() - began).toBeLessThan(30_000)

    await server.stop()
    const probe = async (path: string) => {
      const response = await fetch(`${late.url}${path}`)
      return { status: response.status, text: await response.text() }
    }
    await until(async () => (await probe('/readyz')).status === 503, { what: 'it is not ready without its database' })
    expect((await probe('/readyz')).text).toContain('database: it does not answer')
    expect((await probe('/healthz')).status).toBe(200)
    await server.resume()
    await until(async () => (await probe('/readyz')).status === 200, { what: 'it is ready again' })
    expect(await late.stop()).toBe(0)
  },
)

it.skipIf(server === null)('does what is due once, and ends', { timeout: 120_000 }, async () => {
  const env = { ...(await migrated({})), GUILD_HOME: await temporary('guild-once-'), LOG_LEVEL: 'warn' }
  const done = await guildJson<Record<string, object>>(['run', 'scheduler,registry', 'audit', '--once'], { env })
  expect(Object.keys(done)).toEqual(['scheduler', 'registry', 'audit'])
  const refused = await guild(['run', 'executor', '--once'], { env })
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('scheduler, registry, audit') })
})

/** Several at once, as pods of one deployment would. */
async function migrated(env: Env): Promise<Env & { readonly DATABASE_URL: string | undefined }> {
  const all = { ...env, DATABASE_URL: await server?.newDatabase('empty') }
  const home = await temporary('guild-migrate-')
  const codes = await Promise.all([1, 2].map(() => guild(['migrate'], { env: { ...all, GUILD_HOME: home } })))
  expect(codes.map(({ code, stderr }) => [code, stderr])).toEqual([
    [0, ''],
    [0, ''],
  ])
  return all
}

async function expectDoors(gateway: GuildProcess, worker: GuildProcess): Promise<void> {
  const statusOf = async ({ url }: GuildProcess, path: string) => (await fetch(`${url}${path}`)).status
  for (const path of ['/healthz', '/readyz']) {
    const both = async () => (await Promise.all([gateway, worker].map((one) => statusOf(one, path)))).join(' ')
    // Fourteen processes begin at once: their first seconds are long ones.
    await until(async () => (await both()) === '200 200', { what: `${path} of both says 200` })
  }
  for (const path of ['/', '/api/v1/status', '/metrics']) expect(await statusOf(gateway, path)).toBe(401)
  for (const path of ['/', '/api/v1/status', '/webhooks/github', '/openapi.json']) {
    expect(await statusOf(worker, path)).toBe(404)
  }
  const metrics = await (await worker.call('GET', '/metrics')).text()
  expect(metrics).toMatch(/guild_info\{version="[^"]+",role="dispatcher",instance="[^"]+",node="24/)
  const title = spawnSync('ps', ['-o', 'args=', '-p', String(worker.pid)], { encoding: 'utf8' }).stdout.trim()
  expect(title).toBe('guild dispatcher')
  expect(gateway.stderr).toMatch(/"role":"gateway","instance":"[\w.-]+"/)
}

async function doctor(home: string, env: Env): Promise<{ readonly ok: boolean }> {
  const { code } = await guild(['doctor'], { env: { ...env, GUILD_HOME: home } })
  return { ok: code === 0 }
}

function modelCodex(): Record<string, string> {
  const spec = `  tools: { actions: [{ type: GITHUB_COMMENT, autonomy: 2, within: thread }] }
  model: { prefer: [anthropic/main], maxOutputTokensPerCall: 500 }`
  return {
    ...heraldCodex({ rules: false, spec }),
    'providers/anthropic.yaml': `apiVersion: guild/v1
kind: Provider
metadata: { name: anthropic }
spec:
  api: anthropic
  models: [{ alias: main, model: test-model, price: { version: test, inputPerMillion: 2, outputPerMillion: 10 } }]
`,
  }
}

/** Comments on its pull request, a second after it was asked, and then has nothing to add. */
function slowAnswer(messages: string): FakeAnswer {
  if (messages.includes('tool_result')) return { kind: 'say', text: 'Greeted the author.' }
  const number = Number(/Change (\d+)/.exec(messages)?.[1])
  const calls = [{ name: 'GITHUB_COMMENT', args: { repo, number, body: 'Welcome.' } }]
  return { kind: 'say', calls, pings: 5, pingMs: 200 }
}

const finished = `SELECT count(*) AS count FROM guild_core.actions WHERE state = 'SUCCEEDED'`
/** From the moment a run was given back to the next claim. */
const handedBack = `
  SELECT count(DISTINCT back.invocation_id) AS runs,
    coalesce(max(extract(epoch FROM (
      SELECT min(again.at) FROM guild_core.decisions again
      WHERE again.invocation_id = back.invocation_id AND again.outcome = 'RUNNING' AND again.at >= back.at) - back.at)) * 1000, 0)::integer AS waited_ms,
    (SELECT max(failures) FROM guild_core.invocations) AS failures,
    (SELECT max(attempts) FROM guild_core.invocations) AS attempts
  FROM guild_core.decisions back WHERE back.outcome = 'ADMITTED' AND back.stage = 'run'`
