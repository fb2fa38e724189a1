import type { Cache } from '../src/cache/cache.ts'
import { PostgresCache } from '../src/cache/postgres/postgres-cache.ts'
import type { Database } from '../src/database/database.ts'
import { type Clock, systemClock } from '../src/kernel/clock.ts'
import { silentLog } from '../src/kernel/log.ts'

/** The cache in the test's own database, by the test's clock. */
export function testCache(database: Database, clock: Clock = systemClock): Cache {
  return new PostgresCache({ database, clock, log: silentLog, time: clock === systemClock ? 'database' : 'clock' })
}
