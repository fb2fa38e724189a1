import { PostgresBus } from '../bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../bus/postgres/postgres-outbox.ts'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { anAgent, anEvent, aRoute, aSnapshot, RecordingOutbox, text } from '../../test/dispatch.ts'
import type { Database } from '../database/database.ts'
import type { Clock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { dispatcher } from './dispatcher.ts'
import { dispatcherSweeper, sweepInvocations } from './sweeper.ts'

const start = new Date('2026-11-22T10:00:00Z')
let db: Database
let outbox: RecordingOutbox
let now: Date
let id: string
const clock: Clock = { now: () => now, sleep: () => Promise.resolve() }

beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(async () => {
  await db.close()
})
beforeEach(async () => {
  await db.query(
    text('TRUNCATE guild_core.events, guild_core.event_keys, guild_core.receipts, guild_core.invocations CASCADE'),
  )
  outbox = new RecordingOutbox()
  now = start
  const consumer = dispatcher({
    database: db,
    outbox,
    codex: {
      current: () => aSnapshot([anAgent('sentinel')], [aRoute('any', '*', ['sentinel'], { priority: 'HIGH' })]),
    },
    clock,
    log: silentLog,
    echoes: { confirm: () => Promise.resolve(null) },
  })
  const message = {
    id: 'm1',
    topic: 'guild.events.inbound',
    key: null,
    priority: 'NORMAL',
    attempt: 1,
    publishedAt: start,
  } as const
  await consumer.handle([{ ...message, body: anEvent() }], new AbortController().signal)
  id = outbox.on('guild.events.agent.sentinel')[0]?.id ?? ''
  outbox.sent.length = 0
})

it('sends the message of a run again that nobody has taken for 15 s', async () => {
  expect(await sweepAfter(14)).toBe(0)
  expect(await sweepAfter(16)).toBe(1)
  expect(outbox.sent).toEqual([
    { topic: 'guild.events.agent.sentinel', message: { id, priority: 'HIGH', body: { invocation_id: id } } },
  ])
})

it('sends it again after 30 s, then after ever longer pauses', async () => {
  const sent: number[] = []
  for (let second = 0; second <= 600; second += 5) if ((await sweepAfter(second)) === 1) sent.push(second)
  expect(sent).toEqual([20, 50, 110, 230, 470])
})

it.each([
  ['waits for its time', `not_before = '2026-11-22T10:05:00Z'`, 60, 0],
  ['waited for its time', `state = 'WAITING_RATE', not_before = '2026-11-22T10:05:00Z'`, 320, 1],
  ['is owned', `state = 'RUNNING', lease_until = '2026-11-22T10:05:00Z'`, 300, 0],
  ['has just lost its owner', `state = 'RUNNING', lease_until = '2026-11-22T10:05:00Z'`, 301, 0],
  ['has lost its owner', `state = 'RUNNING', lease_until = '2026-11-22T10:05:00Z'`, 303, 1],
  [
    'was sent again and is still to be taken',
    `state = 'RUNNING', lease_until = '2026-11-22T10:00:20Z', republished_at = '2026-11-22T10:00:25Z'`,
    50,
    0,
  ],
  [
    'was sent again, taken and lost once more',
    `state = 'RUNNING', lease_until = '2026-11-22T10:00:40Z', republished_at = '2026-11-22T10:00:25Z'`,
    50,
    1,
  ],
  ['was sent again by a clock that was ahead', `republished_at = '2026-11-22T10:10:00Z', republished = 1`, 60, 1],
  ['waits for a person', `state = 'WAITING_APPROVAL'`, 320, 0],
  ['is over', `state = 'COMPLETED'`, 320, 0],
])('of a run that %s', async (_what, change, second, expected) => {
  await db.query(text(`UPDATE guild_core.invocations SET ${change}`))
  expect(await sweepAfter(second)).toBe(expected)
})

it('keeps the place of a run that has begun', async () => {
  await db.query(text(`UPDATE guild_core.invocations SET state = 'RUNNING', lease_until = '2026-11-22T10:05:00Z'`))
  expect(await sweepAfter(303)).toBe(1)
  expect(outbox.sent).toMatchObject([{ message: { id, notBefore: start } }])
})

it('leaves alone what only waits in a long queue, and sends what is older than all that waits there', async () => {
  const waiting = (oldestReadyMs: number) => ({
    lag: () =>
      Promise.resolve([
        { topic: 'guild.events.agent.*', group: 'executor', ready: 9, inFlight: 0, delayed: 0, oldestReadyMs },
      ]),
  })
  now = new Date(start.getTime() + 60_000)
  const sweep = (oldestReadyMs: number) =>
    sweepInvocations({ database: db, outbox, clock, bus: waiting(oldestReadyMs), log: silentLog })
  expect(await sweep(70_000)).toBe(0)
  expect(await sweep(60_000)).toBe(0)
  expect(await sweep(30_000)).toBe(1)
  // However long the queue: not longer than the longest pause.
  now = new Date(start.getTime() + 20 * 60_000)
  expect(await sweep(3_600_000)).toBe(1)
})

it('sends again what was taken from the bus, and only that', async () => {
  const bus = new PostgresBus({ database: db, clock, log: silentLog })
  const stop = new AbortController()
  const got: string[] = []
  try {
    // The group is there before the message is.
    const first = Promise.withResolvers<void>()
    const consuming = bus.consume(
      { topic: 'guild.events.agent.*', group: 'executor', maxInFlight: 1 },
      (batch) => {
        got.push(...batch.map(({ id }) => id))
        first.resolve()
        return Promise.resolve([])
      },
      stop.signal,
    )
    const real = new PostgresOutbox(bus)
    now = new Date(start.getTime() + 60_000)
    expect(await sweepInvocations({ database: db, outbox: real, clock, bus, log: silentLog })).toBe(1)
    await first.promise
    stop.abort()
    await consuming
    await sweepInvocations({ database: db, outbox: real, clock, bus, log: silentLog })
    await db.query(text(`UPDATE guild_core.invocations SET republished_at = NULL`))
    await sweepInvocations({ database: db, outbox: real, clock, bus, log: silentLog })
    const waiting = async () => (await bus.lag()).map(({ ready }) => ready)
    expect(await waiting()).toEqual([1])
    await db.query(text('DELETE FROM guild_bus.deliveries'))
    now = new Date(start.getTime() + 130_000)
    expect(await sweepInvocations({ database: db, outbox: real, clock, bus, log: silentLog })).toBe(1)
    expect(await waiting()).toEqual([1])
    expect(got).toHaveLength(1)
  } finally {
    await bus.close()
  }
})

it('runs until told to stop, also through failures', async () => {
  const broken = await openTestDatabase()
  await broken.close()
  const controller = new AbortController()
  let sleeps = 0
  const stopping: Clock = {
    now: () => now,
    sleep: () => {
      sleeps += 1
      if (sleeps === 3) controller.abort()
      return Promise.resolve()
    },
  }
  await dispatcherSweeper({ database: broken, outbox, clock: stopping, log: silentLog }).run(controller.signal)
  expect(sleeps).toBe(3)
})

function sweepAfter(seconds: number): Promise<number> {
  now = new Date(start.getTime() + seconds * 1_000)
  return sweepInvocations({ database: db, outbox, clock, log: silentLog })
}
