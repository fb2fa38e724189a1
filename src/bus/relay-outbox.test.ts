import { expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Database } from '../database/database.ts'
import { systemClock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import { silentLog } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import type { Bus } from './bus.ts'
import { outboxConformance } from './conformance-outbox.ts'
import { MemoryBus } from './memory/memory-bus.ts'
import { MemoryLog } from './memory/memory-log.ts'
import { RelayOutbox } from './relay-outbox.ts'

const base = { clock: systemClock, log: silentLog }
const memoryBus = () => new MemoryBus({ log: new MemoryLog(), clock: systemClock, logger: silentLog })

outboxConformance('RelayOutbox', async () => {
  const database = await openTestDatabase()
  const bus = memoryBus()
  return {
    database,
    bus,
    outbox: new RelayOutbox({ ...base, database, bus }),
    async close() {
      await bus.close()
      await database.close()
    },
  }
})

it('publishes again what a relay had published and not removed when it died', async () => {
  await using database = await openTestDatabase()
  await using bus = memoryBus()
  const published = Promise.withResolvers<void>()
  let alive = true
  const dying = new RelayOutbox({
    ...base,
    leaseMs: 300,
    database: breaking(database, () => alive),
    bus: publishing(bus, async (topic, messages) => {
      await bus.publish(topic, messages)
      alive = false
      published.resolve()
    }),
  })
  const stop = new AbortController()
  await database.transaction((tx) => dying.add(tx, 't', [{ id: 'm', body: 1 }]))
  const first = dying.relay(stop.signal)
  await published.promise
  const second = new RelayOutbox({ ...base, database, bus }).relay(stop.signal)
  await expect.poll(() => bus.count('t'), { timeout: 20_000 }).toBe(2)
  stop.abort()
  await Promise.all([first, second])
})

it('relays with two relays at once, in order and nothing twice', async () => {
  await using database = await openTestDatabase()
  await using bus = memoryBus()
  const outboxes = [new RelayOutbox({ ...base, database, bus }), new RelayOutbox({ ...base, database, bus })]
  const stop = new AbortController()
  const relays = outboxes.map((outbox) => outbox.relay(stop.signal))
  for (let n = 0; n < 50; n++) {
    await database.transaction(async (tx) => outboxes[n % 2]?.add(tx, 't', [{ id: `m${n}`, key: 'k', body: n }]))
  }
  await expect.poll(() => bus.count('t'), { timeout: 20_000 }).toBe(50)
  stop.abort()
  await Promise.all(relays)
  const logged = await bus.peek('t', { limit: 100 })
  expect(logged.map((message) => message.body)).toEqual(Array.from({ length: 50 }, (_, n) => 49 - n))
})

it('buries a message that the bus refuses for good, and goes on', async () => {
  await using database = await openTestDatabase()
  await using bus = memoryBus()
  const picky = publishing(bus, async (topic, messages) => {
    if (messages.some(({ id }) => id === 'bad'))
      throw new GuildError('GUILD_MESSAGE_INVALID', { topic, id: 'bad', why: 'I say so' })
    await bus.publish(topic, messages)
  })
  const outbox = new RelayOutbox({ ...base, database, bus: picky })
  const stop = new AbortController()
  const relaying = outbox.relay(stop.signal)
  await database.transaction((tx) =>
    outbox.add(
      tx,
      't',
      ['a', 'bad', 'b'].map((id) => ({ id, body: 1 })),
    ),
  )
  await expect.poll(() => bus.count('t'), { timeout: 20_000 }).toBe(2)
  stop.abort()
  await relaying
  expect(await bus.peek(topics.dead, { limit: 1 })).toMatchObject([
    { body: { topic: 't', id: 'bad', group: null, body: null } },
  ])
})

function publishing(bus: Bus, publish: Bus['publish']): Bus {
  return new Proxy(bus, {
    get: (target, name) => {
      if (name === 'publish') return publish
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function breaking(database: Database, alive: () => boolean): Database {
  return {
    kind: database.kind,
    async query(statement, params) {
      if (!alive()) throw new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'the test says so' })
      return database.query(statement, params)
    },
    transaction: (work) => database.transaction(work),
    listen: (channel, onNotify) => database.listen(channel, onNotify),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}
