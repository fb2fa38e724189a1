import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { ActionBench, aCodex, githubTarget } from '../../test/actions.ts'
import { testCache } from '../../test/cache.ts'
import { openTestDatabase } from '../../test/database.ts'
import { FakeGithub } from '../../test/fake-github.ts'
import { connector } from '../codex/kind-connector.ts'
import type { Database, Statement } from '../database/database.ts'
import { GuildError } from '../kernel/errors.ts'
import { connectorLimits } from './connector-rate.ts'

const flush: Statement = { name: 'test.flush', text: 'TRUNCATE guild_cache.limits' }
const nextAt: Statement = { name: 'test.nextAt', text: 'SELECT next_at FROM guild_core.actions WHERE id = $1' }
const told: Statement = {
  name: 'test.told',
  text: `SELECT reason FROM guild_core.decisions WHERE outcome = 'WAITING' AND action_id = $1`,
}
let db: Database
let github: FakeGithub
let bench: ActionBench

beforeAll(async () => {
  db = await openTestDatabase()
  github = await FakeGithub.open()
})
afterAll(async () => {
  await github[Symbol.asyncDispose]()
  await db.close()
})
beforeEach(async () => {
  await db.query(flush)
  bench = new ActionBench(db)
  await bench.newRun(withRate({ writes: ['3/1h'] }))
})

function withRate(rate: { writes?: readonly string[] }) {
  const codex = aCodex()
  return { ...codex, connectors: new Map([['github', connectorFile(rate)]]) }
}

function connectorFile(rate: { writes?: readonly string[] } = {}) {
  const spec = { system: 'github', mode: 'live', rate }
  return connector.parse({ apiVersion: 'guild/v1', kind: 'Connector', metadata: { name: 'github' }, spec })
}

const say = (number: number) => bench.accepted({ args: { repo: 'octo/shop', number, body: `hello ${number}` } })

it('sends an action over the rate back to its lane, with the reason and the time, and carries it out then', async () => {
  const waits: number[] = []
  const worker = bench.worker(githubTarget(github.url, bench.clock), { onRateWait: (_, waitMs) => waits.push(waitMs) })
  const [first, second] = [await say(1), await say(2)]
  await worker.drain(first)
  await worker.drain(second)
  await worker.drain(second)
  expect(await bench.get(first)).toMatchObject({ state: 'SUCCEEDED' })
  expect(await bench.get(second)).toMatchObject({ state: 'READY', reason: 'waiting: github is at its rate (hour)' })
  const { rows } = await db.query<{ next_at: Date }>(nextAt, [second])
  const waitMs = (rows[0]?.next_at.getTime() ?? 0) - bench.clock.now().getTime()
  // A third of the hour, less the patience of a worker.
  expect(waitMs).toBeCloseTo(20 * 60_000 - 10_000, -2)
  expect(waits.map(Math.round)).toEqual([waitMs])
  expect((await db.query(told, [second])).rows).toHaveLength(1)
  bench.clock.advance(20 * 60_000)
  await worker.sweep()
  expect(await bench.get(second)).toMatchObject({ state: 'SUCCEEDED' })
})

it('lets no more through than the rate, whoever works', async () => {
  await bench.newRun(withRate({ writes: ['20/1h'] }))
  const workers = [1, 2, 3].map(() => bench.worker(githubTarget(github.url, bench.clock)))
  const ids = await Promise.all([11, 12, 13, 14, 15, 16].map(say))
  await Promise.all(ids.map(async (id, index) => workers[index % 3]?.drain(id)))
  const states = await Promise.all(ids.map(async (id) => (await bench.get(id)).state))
  // A tenth of twenty at once.
  expect(states.filter((state) => state === 'SUCCEEDED')).toHaveLength(2)
  expect(states.filter((state) => state === 'READY')).toHaveLength(4)
})

it('sends nothing while the cache cannot be reached, and goes on when it can', async () => {
  let reachable = false
  const cache = testCache(db, bench.clock)
  const worker = bench.worker(githubTarget(github.url, bench.clock), {
    cache: {
      take: (requests) =>
        reachable ? cache.take(requests) : Promise.reject(new GuildError('GUILD_REDIS_UNAVAILABLE', { why: 'cut' })),
    },
  })
  const id = await say(21)
  await worker.drain(id)
  expect(await bench.get(id)).toMatchObject({
    state: 'READY',
    reason: 'waiting: the rate of github cannot be looked up',
  })
  reachable = true
  bench.clock.advance(5_000)
  await worker.sweep()
  expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED' })
})

it('holds to what GitHub bears, unless the connector says otherwise', () => {
  const [shared, own] = ['https://api.github.com', 'https://ghe.example.org/api/v3'].map((url) =>
    githubTarget(url, bench.clock),
  )
  if (!shared || !own) throw new Error('two targets')
  const keys = (rate: { writes?: readonly string[] }, target = shared) =>
    connectorLimits('github', connectorFile(rate), target).map(({ key }) => key)
  expect(keys({})).toEqual(['ratelimit:github:pace', 'ratelimit:github:minute', 'ratelimit:github:hour'])
  expect(keys({ writes: ['10/1d'] })).toEqual(['ratelimit:github:pace', 'ratelimit:github:day'])
  expect(keys({ writes: [] }, own)).toEqual([])
  expect(connectorLimits('github', undefined, own)).toEqual([])
})

it('refuses rates that say nothing, or two things', () => {
  for (const writes of [['80/min'], ['0/1m'], ['80/1m', '60/60s']]) {
    expect(() => connectorFile({ writes })).toThrow()
  }
})
