import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { ActionBench, githubTarget, tableOutbox } from '../../test/actions.ts'
import { testCache } from '../../test/cache.ts'
import { openTestDatabase } from '../../test/database.ts'
import { FakeGithub } from '../../test/fake-github.ts'
import type { Delivery } from '../bus/bus.ts'
import type { Database } from '../database/database.ts'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import { actionExecutor } from './execute.ts'
import type { ActionExecutorDeps } from './lanes.ts'

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
  bench = new ActionBench(db)
  await bench.newRun()
})

const say = (number: number) => bench.accepted({ args: { repo: 'octo/shop', number, body: 'hello' } })

function wired(over: Partial<ActionExecutorDeps> = {}) {
  const target = githubTarget(github.url, systemClock, { probeAfterMs: [10] })
  return actionExecutor({
    db,
    outbox: tableOutbox,
    live: [],
    owner: 'test',
    cache: testCache(db),
    clock: systemClock,
    log: silentLog,
    random: () => 0,
    codex: { current: () => bench.codex },
    targetOf: () => target,
    ...over,
  })
}

it('carries out what a message names, and does nothing when the message comes again', async () => {
  const { consumer } = wired()
  expect(consumer.subscription).toMatchObject({ topic: topics.actions, group: 'actions' })
  const id = await say(1)
  const signal = new AbortController().signal
  for (const attempt of [1, 2]) await consumer.handle([delivery({ action_id: id }, attempt)], signal)
  expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED', attempts: 1 })
  expect(github.writes).toHaveLength(1)
})

it('refuses a message that names nothing, so that it becomes a dead letter', async () => {
  const { consumer } = wired()
  await expect(consumer.handle([delivery({ nonsense: true }, 1)], new AbortController().signal)).rejects.toThrow()
  await consumer.handle([delivery({ action_id: 'act_unknown' }, 1)], new AbortController().signal)
})

it('tries again and looks again by itself when that falls due, and ends when it is told to', async () => {
  const { consumer, sweeper } = wired()
  const stop = new AbortController()
  const running = sweeper.run(stop.signal)
  const ids = [await say(11), await say(12)]
  github.faults.push({ kind: 'answer', status: 503, headers: { 'retry-after': '1' } }, { kind: 'drop-after-write' })
  for (const id of ids) await consumer.handle([delivery({ action_id: id }, 1)], stop.signal)
  await expect
    .poll(async () => (await Promise.all(ids.map((id) => bench.get(id)))).map(({ state }) => state), {
      timeout: 15_000,
    })
    .toEqual(['SUCCEEDED', 'SUCCEEDED'])
  stop.abort()
  await running
  expect(github.of('comments').filter(({ place }) => /issues\/1[12]\//.test(place))).toHaveLength(2)
})

it('works off what an outage has left behind as fast as it can, not so many per look', async () => {
  const ids: string[] = []
  for (let number = 41; number <= 60; number += 1) {
    await bench.newRun()
    ids.push(await say(number))
  }
  const text = "UPDATE guild_core.actions SET updated_at = now() - interval '1 minute' WHERE id = ANY($1::text[])"
  await db.query({ name: '', text }, [ids])
  let looks = 0
  const look = async () => {
    looks += 1
  }
  const { sweeper } = wired({ maxInFlight: 2, sweeps: { done: look, failed: look } })
  const stop = new AbortController()
  const running = sweeper.run(stop.signal)
  // Two per look, and a look every 3 s, would take half a minute.
  await expect
    .poll(
      async () => (await Promise.all(ids.map((id) => bench.get(id)))).filter((it) => it.state === 'SUCCEEDED').length,
      {
        timeout: 12_000,
      },
    )
    .toBe(20)
  // A look reads all that is open: one for each free place would be most of the work.
  expect(looks).toBeLessThan(8)
  stop.abort()
  await running
})

it('begins nothing new after it was told to stop, and gives the message back for another process', async () => {
  const { consumer } = wired()
  const id = await say(21)
  const signal = AbortSignal.abort()
  await expect(consumer.handle([delivery({ action_id: id }, 1)], signal)).rejects.toBe(signal.reason)
  expect(await bench.get(id)).toMatchObject({ state: 'READY', attempts: 0 })
})

it('fails what no target is configured for, and says so', async () => {
  const { consumer } = wired({ targetOf: () => null })
  const id = await say(31)
  await consumer.handle([delivery({ action_id: id }, 1)], new AbortController().signal)
  expect(await bench.get(id)).toMatchObject({
    state: 'FAILED',
    reason: expect.stringContaining('no target is configured'),
  })
})

function delivery(body: unknown, attempt: number): Delivery {
  return { id: 'm', topic: topics.actions, key: null, priority: 'NORMAL', body, attempt, publishedAt: new Date() }
}
