import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Database } from '../database/database.ts'
import { SweepLog } from '../database/sweep-log.ts'
import { systemClock } from '../kernel/clock.ts'
import { checkPartitions, checkSweepers, sweepMetrics } from './sweeps.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())
const query = (text: string) => db.query({ name: '', text })

it('shows what sweepers did, the parts of the big tables, and that nothing is overdue', async () => {
  const log = new SweepLog(db, systemClock)
  await log.done('runs', 5_000, { republished: 3 })
  await log.done('runs', 5_000, { republished: 2 })
  await log.failed('actions', 3_000, new Error('no database'))
  const registry = new Registry()
  sweepMetrics(registry, db)
  const text = await registry.metrics()
  expect(text).toContain('guild_sweep_rows_total{sweeper="runs",kind="republished"} 5')
  expect(text).toContain('guild_sweeps_total{sweeper="runs"} 2')
  expect(text).toContain('guild_sweep_failures_total{sweeper="actions"} 1')
  expect(text).toContain('guild_partitions{table="guild_core.events"} 3')
  expect(text).toContain('guild_overdue_seconds{kind="action"} 0')
})

it('warns of a sweeper that fails or stands still, and not of one that does its work', async () => {
  expect(await checkSweepers(db)).toMatchObject({ verdict: 'warning', finding: 'actions failed: no database' })
  await new SweepLog(db, systemClock).done('actions', 3_000)
  expect(await checkSweepers(db)).toMatchObject({ verdict: 'ok', finding: '2 do their work' })
  await query(`UPDATE guild_core.sweeps SET ok_at = now() - interval '1 hour' WHERE name = 'runs'`)
  expect(await checkSweepers(db)).toMatchObject({ finding: 'runs has not run for 60 min' })
})

it('warns when the next part is missing', async () => {
  expect(await checkPartitions(db)).toMatchObject({ verdict: 'ok' })
  await query(`SELECT guild_core.drop_part(parent, from_at, '{}') FROM guild_core.parts
    WHERE parent = 'guild_core.events' AND from_at > now()`)
  expect(await checkPartitions(db)).toMatchObject({
    verdict: 'warning',
    finding: 'the next part is missing: guild_core.events',
  })
})
