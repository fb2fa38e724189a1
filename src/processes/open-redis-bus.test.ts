import { describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { testRedis } from '../../test/redis.ts'
import { Eater } from '../bus/conformance-kit.ts'
import { outboxConformance } from '../bus/conformance-outbox.ts'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { agentTopic, everyAgentTopic, topics } from '../kernel/topics.ts'
import { openBus } from './open-bus.ts'
import { judge } from './open-redis-bus.ts'

const server = await testRedis()

describe.skipIf(server === null)('the bus on Redis and PostgreSQL', () => {
  if (server === null) return
  const eventBusUrl = new Secret(server.url)

  outboxConformance('over Redis and PostgreSQL', async () => {
    const database = await openTestDatabase()
    const line = await openBus({ eventBusUrl }, database, systemClock, silentLog)
    return {
      database,
      bus: line.bus,
      outbox: line.outbox,
      async close() {
        await line[Symbol.asyncDispose]()
        await database.close()
      },
    }
  })

  it('relays a message of a run to Redis within milliseconds, and keeps what has no row in the database', async () => {
    await using database = await openTestDatabase()
    await using line = await openBus({ eventBusUrl }, database, systemClock, silentLog)
    const { bus, outbox } = line
    const stop = new AbortController()
    const relaying = outbox.relay(stop.signal)
    const eater = new Eater(bus, { topic: everyAgentTopic, group: 'executor', maxInFlight: 8 }, async () => undefined)
    const tookMs: number[] = []
    for (let n = 1; n <= 20; n++) {
      const began = performance.now()
      await database.transaction((tx) => outbox.add(tx, agentTopic('ranger'), [{ id: `r${n}`, body: 1 }]))
      await eater.seen(n)
      tookMs.push(performance.now() - began)
    }
    // The embedded database takes most of it. Without a wake it would be a poll: 2 s.
    expect(tookMs.toSorted((a, b) => a - b)[10]).toBeLessThan(200)
    await database.transaction(async (tx) => {
      for (const topic of [topics.inbound, topics.audit, topics.dead])
        await outbox.add(tx, topic, [{ id: 'm', body: 1 }])
    })
    const streams = await server.command('KEYS', '{guild}:bus:stream:*')
    expect(streams).not.toEqual(expect.arrayContaining([expect.stringMatching(/inbound|audit|dead/)]))
    expect(await bus.count(topics.audit)).toBe(1)
    stop.abort()
    await Promise.all([relaying, eater.stop()])
  })

  it('carries dead letters of Redis to the database', async () => {
    await using database = await openTestDatabase()
    await using line = await openBus({ eventBusUrl }, database, systemClock, silentLog)
    const stop = new AbortController()
    const carrying = line.services.map((service) => service.run(stop.signal))
    const eater = new Eater(line.bus, { topic: topics.actions, group: 'actions', maxInFlight: 8 }, async () => [
      { id: 'a', reason: 'hopeless', dead: true },
    ])
    await line.bus.publish(topics.actions, [{ id: 'a', body: { action_id: 'a' } }])
    await expect
      .poll(() => line.bus.peek(topics.dead, { limit: 5 }), { timeout: 20_000 })
      .toMatchObject([{ id: 'a', body: { topic: topics.actions, reason: 'hopeless' } }])
    stop.abort()
    await Promise.all([...carrying, eater.stop()])
  })

  it('starts without Redis, says so, and works once it is there', async () => {
    await using database = await openTestDatabase()
    await server.kill()
    await using line = await openBus({ eventBusUrl }, database, systemClock, silentLog)
    expect(line.unready()).toEqual(['redis does not answer; see the log'])
    expect(await line.examine()).toMatchObject({ verdict: 'problem' })
    await line.bus.publish(topics.inbound, [{ id: 'taken', body: 1 }])
    expect(await line.bus.count(topics.inbound)).toBe(1)
    await server.restart()
    await expect.poll(() => line.unready(), { timeout: 20_000 }).toEqual([])
    expect(await line.examine()).toMatchObject({ verdict: 'ok' })
  })

  it.each(['emptied', 'back with an old snapshot'])('forgets the pauses of reminders when Redis is %s', async (how) => {
    await using database = await openTestDatabase()
    await using line = await openBus({ eventBusUrl }, database, systemClock, silentLog)
    const eater = new Eater(line.bus, { topic: everyAgentTopic, group: 'executor', maxInFlight: 8 }, async () => [])
    await line.bus.publish(agentTopic('ranger'), [{ id: 'seen', body: 1 }])
    await eater.seen(1)
    await database.query({ name: '', text: anEvent })
    await database.query({ name: '', text: aReminded })
    if (how === 'emptied') await server.flush()
    else {
      await server.command('CONFIG', 'SET', 'appendonly', 'no')
      await server.command('CLIENT', 'KILL', 'TYPE', 'normal')
    }
    const reminders = async () =>
      (await database.query<{ n: number }>({ name: '', text: 'SELECT republished AS n FROM guild_core.invocations' }))
        .rows
    await expect.poll(reminders, { timeout: 20_000 }).toEqual([{ n: 0 }])
    await server.command('CONFIG', 'SET', 'appendonly', 'yes')
    await eater.stop()
  })

  it('refuses a wrong password at the start, without repeating it', async () => {
    await using database = await openTestDatabase()
    await server.command('CONFIG', 'SET', 'requirepass', 'right')
    const wrong = new Secret(server.url.replace('redis://', 'redis://:hidden@'))
    const opening = openBus({ eventBusUrl: wrong }, database, systemClock, silentLog)
    await expect(opening).rejects.toThrow(/^Redis cannot be reached: WRONGPASS(?!.*hidden)/)
    await server.restart()
  })
})

it.each([
  [{ version: '7.0.15', appendOnly: true, evicts: false }, 'ok'],
  [{ version: '7.0.15', appendOnly: false, evicts: false }, 'warning'],
  [{ version: '7.0.15', appendOnly: true, evicts: true }, 'problem'],
])('judges a server %o: %s', (facts, verdict) => {
  expect(judge('redis://cache:6379', facts)).toMatchObject({ verdict })
})

const anEvent = `
  WITH key AS (INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at) VALUES ('evt_1', 's', 'd', now()))
  INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload,
    metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
  VALUES ('evt_1', 'T', 's', 's', 'NORMAL', 't', 'k', 'i', 'a', 'd', '{}', '{}', now(), now(), 'evt_1', 0, 'ROUTED', 'r', 'c')`
const aReminded = `
  INSERT INTO guild_core.invocations (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth,
    codex_commit, snapshot_hash, rule, priority, state, republished_at, republished)
  VALUES ('inv_1', 'a', 'T', '1', 'evt_1', 't', 'evt_1', 0, 'c', 'h', 'r', 'NORMAL', 'QUEUED', now(), 6)`
