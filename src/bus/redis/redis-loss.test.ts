import { describe, expect, it } from 'vitest'
import { testRedis } from '../../../test/redis.ts'
import { systemClock } from '../../kernel/clock.ts'
import { isGuildError } from '../../kernel/errors.ts'
import { silentLog } from '../../kernel/log.ts'
import { Eater, gate, ids } from '../conformance-kit.ts'
import { RedisBus } from './redis-bus.ts'

const server = await testRedis()

/** What the conformance suite cannot ask of every adapter: a store that dies, and one that comes back empty. */
describe.skipIf(server === null)('RedisBus when its server fails', () => {
  if (server === null) return

  const open = async () => {
    const redis = await server.open({ commandMs: 2_000 })
    const bus = new RedisBus({ redis, clock: systemClock, log: silentLog })
    return {
      bus,
      async [Symbol.asyncDispose]() {
        await bus.close()
        await redis.close()
      },
    }
  }
  const publishAtLast = async (bus: RedisBus, topic: string, id: string) => {
    const published = async () => {
      try {
        await bus.publish(topic, [{ id, body: id }])
        return true
      } catch (error) {
        if (isGuildError(error) && error.retryable) return false
        throw error
      }
    }
    await expect.poll(published, { timeout: 20_000 }).toBe(true)
  }

  it('loses nothing when it is killed and keeps its data', async () => {
    await using at = await open()
    const eater = new Eater(at.bus, { topic: 'kept', group: 'g', maxInFlight: 4 }, async () => undefined)
    await at.bus.publish('kept', [{ id: 'a', body: 1 }])
    await eater.seen(1)
    await at.bus.ensureGroup({ topic: 'kept', group: 'nobody' })
    await at.bus.publish(
      'kept',
      ids('m', 20).map((id) => ({ id, body: id })),
    )
    await server.restart('kept')
    await publishAtLast(at.bus, 'kept', 'z')
    await expect.poll(() => new Set(eater.ids), { timeout: 20_000 }).toEqual(new Set(['a', ...ids('m', 20), 'z']))
    expect((await at.bus.lag()).find(({ group }) => group === 'nobody')).toMatchObject({ ready: 22 })
    await eater.stop()
  })

  it.each(['flushed', 'restarted without its data'])('goes on by itself when it was %s', async (how) => {
    const topic = `lost.${how.slice(0, 7)}`
    await using at = await open()
    const door = gate()
    const eater = new Eater(at.bus, { topic: `${topic}.*`, group: 'g', maxInFlight: 4 }, async ([first]) => {
      if (first?.id === 'held') await door.opened
    })
    await at.bus.publish(`${topic}.a`, [
      { id: 'done', key: 'k', body: 1 },
      { id: 'held', body: 1 },
    ])
    await eater.seen(2)
    if (how === 'flushed') await server.flush()
    else await server.restart('lost')
    // Before anybody has created the group again.
    await publishAtLast(at.bus, `${topic}.a`, 'first')
    await expect.poll(() => eater.ids, { timeout: 20_000 }).toContain('first')
    door.open()
    await at.bus.publish(`${topic}.b`, [{ id: 'second', key: 'k', body: 1 }])
    await expect.poll(() => eater.ids, { timeout: 20_000 }).toContain('second')
    await expect
      .poll(async () => at.bus.lag(), { timeout: 20_000 })
      .toMatchObject([{ ready: 0, inFlight: 0, delayed: 0 }])
    expect(eater.ids.toSorted()).toEqual(['done', 'first', 'held', 'second'])
    await eater.stop()
  })

  it('does not wait for ever for a message whose entry is gone', async () => {
    await using at = await open()
    await at.bus.ensureGroup({ topic: 'evicted', group: 'g' })
    await at.bus.publish('evicted', [
      { id: 'a', key: 'k', body: 1 },
      { id: 'b', key: 'k', body: 1 },
    ])
    const [second, first] = await at.bus.peek('evicted', { limit: 2 })
    expect(second?.id).toBe('b')
    await server.command('XDEL', '{guild}:bus:stream:evicted', first?.position ?? '')
    const eater = new Eater(at.bus, { topic: 'evicted', group: 'g', maxInFlight: 1 }, async () => undefined)
    expect(await eater.seen(1)).toMatchObject([{ id: 'b' }])
    await eater.stop()
  })

  it('leaves nothing behind for what has been acknowledged and trimmed', async () => {
    await server.flush()
    await using at = await open()
    const eater = new Eater(at.bus, { topic: 'gone', group: 'g', maxInFlight: 50 }, async ([first]) =>
      first?.attempt === 1 ? [{ id: first.id, reason: 'once more', delayMs: 0 }] : [],
    )
    await at.bus.publish(
      'gone',
      ids('m', 300).map((id, n) => ({ id, key: `k${n % 7}`, body: id })),
    )
    await eater.seen(600)
    await eater.stop()
    expect(await at.bus.trim('*', { olderThan: new Date(Date.now() + 60_000) })).toBe(300)
    expect(await server.command('KEYS', '*')).toEqual(
      expect.arrayContaining(['{guild}:bus:clock', '{guild}:bus:groups', '{guild}:bus:g:g@gone:state']),
    )
    expect(await server.command('DBSIZE')).toBe(3)
  })
})
