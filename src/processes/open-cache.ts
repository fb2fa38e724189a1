import type { Cache } from '../cache/cache.ts'
import { PostgresCache } from '../cache/postgres/postgres-cache.ts'
import { RedisCache } from '../cache/redis/redis-cache.ts'
import type { Settings } from '../config/settings.ts'
import type { Database } from '../database/database.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import { Redis } from '../redis/redis.ts'

export interface OpenCache extends AsyncDisposable {
  readonly cache: Cache
}

/**
 * The cache in Redis where REDIS_URL is set, else in the database. Close it before the database.
 * @throws GUILD_CONFIG_INVALID, GUILD_REDIS_UNAVAILABLE
 */
export async function openCache(
  { redisUrl }: Partial<Pick<Settings, 'redisUrl'>>,
  database: Database,
  clock: Clock,
  log: Log,
): Promise<OpenCache> {
  if (redisUrl === undefined) {
    const cache = new PostgresCache({ database, clock, log })
    return { cache, [Symbol.asyncDispose]: () => cache.close() }
  }
  const redis = await Redis.open({ url: redisUrl, setting: 'REDIS_URL', log })
  return { cache: new RedisCache({ redis, clock, log }), [Symbol.asyncDispose]: () => redis.close() }
}
