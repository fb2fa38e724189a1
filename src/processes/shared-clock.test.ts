import { afterAll, beforeAll, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Database } from '../database/database.ts'
import { silentLog } from '../kernel/log.ts'
import { machineTime, SteadyTime } from '../kernel/steady-time.ts'
import { SharedClock } from './shared-clock.ts'

let database: Database
beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database.close())

it('is that of the database, however wrong the own one is, and stays so when that is set', async () => {
  let offMs = 600_000
  const time = new SteadyTime({ sources: { ...machineTime, wall: () => Date.now() + offMs } })
  await using clock = await SharedClock.open(database, silentLog, time)
  expect(Math.abs(clock.now().getTime() - Date.now())).toBeLessThan(1_000)
  offMs = -600_000
  expect(Math.abs(clock.now().getTime() - Date.now())).toBeLessThan(1_000)
})
