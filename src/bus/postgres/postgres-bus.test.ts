import { expect, it } from 'vitest'
import { openTestDatabase } from '../../../test/database.ts'
import { openTestPostgres } from '../../../test/postgres.ts'
import { busConformance } from '../conformance.ts'
import { systemClock } from '../../kernel/clock.ts'
import { silentLog } from '../../kernel/log.ts'
import { PostgresBus } from './postgres-bus.ts'
import { postgresHarness } from './postgres-bus.conformance.ts'

busConformance('PostgresBus on the embedded database', async () => postgresHarness(await openTestDatabase()))

const server = await openTestPostgres()
if (server !== null)
  busConformance('PostgresBus on a PostgreSQL server', () => Promise.resolve(postgresHarness(server)))

it.skipIf(server === null)('clears away what messages leave behind, by their number', async () => {
  const database = await openTestPostgres()
  if (database === null) throw new Error('the server has gone')
  const bus = new PostgresBus({ database, clock: systemClock, log: silentLog, tidyEvery: 100 })
  const stop = new AbortController()
  const vacuumed = async () => {
    const text = `SELECT vacuum_count AS times FROM pg_stat_user_tables WHERE relid = 'guild_bus.deliveries'::regclass`
    return (await database.query<{ times: number }>({ name: '', text })).rows[0]?.times ?? 0
  }
  const before = await vacuumed()
  await bus.publish(
    'test.tidy',
    Array.from({ length: 100 }, (_, n) => ({ id: String(n), body: n })),
  )
  const consuming = bus.consume(
    { topic: 'test.tidy', group: 'g', maxInFlight: 50 },
    () => Promise.resolve(),
    stop.signal,
  )
  await expect.poll(vacuumed, { timeout: 20_000 }).toBeGreaterThan(before)
  stop.abort()
  await consuming
  await bus.close()
  await database.close()
})
