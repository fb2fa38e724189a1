import { describe, expect, it } from 'vitest'
import type { TestRedis } from '../../../test/redis-server.ts'
import { testRedis, testRedisCluster } from '../../../test/redis.ts'
import { systemClock } from '../../kernel/clock.ts'
import { GuildError } from '../../kernel/errors.ts'
import { silentLog } from '../../kernel/log.ts'
import type { RedisCommands } from '../../redis/redis.ts'
import { cacheConformance } from '../conformance.ts'
import type { CacheHarness } from '../conformance-kit.ts'
import { RedisCache } from './redis-cache.ts'

async function redisHarness(server: TestRedis): Promise<CacheHarness> {
  const redis = await server.open()
  return {
    open: (time) =>
      new RedisCache({
        redis,
        log: silentLog,
        clock: time === 'store' ? systemClock : time,
        time: time === 'store' ? 'server' : 'clock',
      }),
    openFragile() {
      let reachable = true
      const reach = () => {
        if (!reachable) throw new GuildError('GUILD_REDIS_UNAVAILABLE', { why: 'the test cut the connection' })
      }
      const fragile: RedisCommands = {
        async command(key, args) {
          reach()
          return redis.command(key, args)
        },
        async run(script, keys, args) {
          reach()
          return redis.run(script, keys, args)
        },
        listen: (...args) => redis.listen(...args),
      }
      const cache = new RedisCache({ redis: fragile, clock: systemClock, log: silentLog })
      return { cache, setReachable: (next) => (reachable = next) }
    },
    async flush() {
      await redis.command('', ['FLUSHALL'])
    },
    kill: () => server.kill(),
    start: () => server.restart('lost'),
    close: () => redis.close(),
  }
}

const server = await testRedis()
if (server !== null) cacheConformance('RedisCache', () => redisHarness(server), true)

const cluster = await testRedisCluster()
if (cluster !== null) cacheConformance('RedisCache on a cluster', () => redisHarness(cluster), true)

describe.skipIf(server === null)('RedisCache', () => {
  if (server === null) return
  it('stores under the names of the seed, and nothing for ever', async () => {
    await using redis = await server.open()
    const cache = new RedisCache({ redis, clock: systemClock, log: silentLog })
    await server.flush()
    await cache.take([{ limits: [{ key: 'ratelimit:jira-api:minute', rate: 60, periodMs: 60_000, burst: 1 }] }])
    await cache.set('user:alice:last_dm', '2025-01-24T09:15:00Z', { ttlMs: 60_000 })
    await cache.putHash('session:invocation:inv_123', { step: '2' }, { ttlMs: 60_000 })
    await cache.putHash('health:quartermaster-payments', { status: 'ACTIVE' }, { ttlMs: 60_000 })
    const counter = { key: 'user:alice:dm_count:2025-01-24', ttlMs: 60_000, rebuild: () => Promise.resolve(2) }
    await cache.count(counter)
    const keys = (await redis.command('', ['KEYS', '*'])) as string[]
    expect(keys.toSorted()).toEqual([
      'health:quartermaster-payments',
      'session:invocation:inv_123',
      'user:alice:dm_count:2025-01-24',
      'user:alice:last_dm',
      '{ratelimit}:jira-api:minute',
    ])
    for (const key of keys) expect(await redis.command(key, ['PTTL', key])).toBeGreaterThan(0)
  })
})
