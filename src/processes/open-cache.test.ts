import { expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { testRedis } from '../../test/redis.ts'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { openCache } from './open-cache.ts'

it('is in the database without REDIS_URL', async () => {
  await using db = await openTestDatabase()
  await using opened = await openCache({}, db, systemClock, silentLog)
  expect(opened.cache.kind).toBe('postgres')
})

const server = await testRedis()
it.skipIf(server === null)('is in Redis with REDIS_URL', async () => {
  if (server === null) return
  await using db = await openTestDatabase()
  await using opened = await openCache({ redisUrl: new Secret(server.url) }, db, systemClock, silentLog)
  expect(opened.cache.kind).toBe('redis')
  await opened.cache.set('session:http:x', 'key_1', { ttlMs: 1_000 })
  expect(await server.command('GET', 'session:http:x')).toBe('key_1')
})

it('refuses an address that is none, without repeating it', async () => {
  await using db = await openTestDatabase()
  const opening = openCache({ redisUrl: new Secret('http://user:hush@host') }, db, systemClock, silentLog)
  await expect(opening).rejects.toMatchObject({ code: 'GUILD_CONFIG_INVALID' })
  await expect(opening).rejects.not.toThrow(/hush/)
})
