import { expect, it } from 'vitest'
import { openTestDatabase } from '../../../test/database.ts'
import { openTestPostgres } from '../../../test/postgres.ts'
import type { Param, Queryable } from '../../database/database.ts'
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

// A process that is stopped while the rows of its claim travel keeps its statement, and all that this has locked, open.
it.skipIf(server === null)('waits for no consumer that is frozen while it claims', async () => {
  const database = await openTestPostgres()
  if (database === null) throw new Error('the server has gone')
  const bus = new PostgresBus({ database, clock: systemClock, log: silentLog })
  await bus.ensureGroup({ topic: 'test.frozen', group: 'g' })
  await bus.publish(
    'test.frozen',
    ['a', 'b', 'c', 'd'].map((id) => ({ id, body: null })),
  )
  const ids = async (db: Queryable, max: number) => {
    const text = `SELECT c.id FROM guild_bus.groups g, guild_bus.take(g.id, $1::integer, 15000, NULL) AS c WHERE g.topic = 'test.frozen'`
    return (await db.query<{ id: string }>({ name: '', text }, [max])).rows.map(({ id }) => id)
  }
  const taken = Promise.withResolvers<readonly string[]>()
  const thaw = Promise.withResolvers<void>()
  const frozen = database.transaction(async (tx) => {
    taken.resolve(await ids(tx, 2))
    await thaw.promise
  })
  expect(await taken.promise).toEqual(['a', 'b'])
  expect(await ids(database, 4)).toEqual(['c', 'd'])
  thaw.resolve()
  await frozen
  await bus.close()
  await database.close()
})

// A queue is empty most of the time, and then everything that plans by its size takes it for nothing.
it.skipIf(server === null)(
  'reads what it settles and nothing else, also in a queue that was last seen empty',
  async () => {
    const database = await openTestPostgres()
    if (database === null) throw new Error('the server has gone')
    const bus = new PostgresBus({ database, clock: systemClock, log: silentLog })
    const ask = async <Row>(db: Queryable, text: string, params: readonly Param[] = []) =>
      (await db.query<Row>({ name: '', text }, params)).rows
    const publish = (count: number) =>
      bus.publish(
        'test.full',
        Array.from({ length: count }, (_, n) => ({ id: String(n), body: n })),
      )
    await bus.ensureGroup({ topic: 'test.full', group: 'g' })
    await publish(500)
    await ask(database, 'DELETE FROM guild_bus.deliveries')
    await ask(database, 'ANALYZE guild_bus.deliveries')
    await publish(500)
    const read = async (db: Queryable) => {
      const text = `SELECT (seq_tup_read + idx_tup_fetch)::integer AS rows FROM pg_stat_xact_user_tables WHERE relid = 'guild_bus.deliveries'::regclass`
      return (await ask<{ rows: number }>(db, text))[0]?.rows ?? 0
    }
    await database.transaction(async (tx) => {
      const [group] = await ask<{ id: number }>(tx, `SELECT id FROM guild_bus.groups WHERE topic = 'test.full'`)
      const claim = 'SELECT "position", claim FROM guild_bus.claim($1::integer, 20, 15000, NULL)'
      const held = await ask<{ position: number; claim: number }>(tx, claim, [group?.id ?? 0])
      const before = await read(tx)
      const [acked, back, dead] = [held.slice(0, 10), held.slice(10, 15), held.slice(15)]
      const others = [
        ...back.map(({ position: message, claim }) => ({
          message,
          claim,
          kind: 'return',
          delay_ms: 0,
          reason: 'later',
        })),
        ...dead.map(({ position: message, claim }) => ({ message, claim, kind: 'dead', delay_ms: 0, reason: 'never' })),
      ]
      const settle = `SELECT settled FROM guild_bus.settle($1::integer, $2::bigint[], $3::bigint[], $4::jsonb, false, NULL)`
      const [positions, claims] = [acked.map(({ position }) => position), acked.map(({ claim }) => claim)]
      expect(await ask(tx, settle, [group?.id ?? 0, positions, claims, JSON.stringify(others)])).toEqual([
        { settled: 20 },
      ])
      expect((await read(tx)) - before).toBeLessThan(60)
    })
    await bus.close()
    await database.close()
  },
)
