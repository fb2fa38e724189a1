import { afterAll, beforeAll, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Clock } from '../kernel/clock.ts'
import { DatabaseClock } from './database-clock.ts'
import type { Database } from './database.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

/** A host whose clock stands a day ahead. */
const wrong: Clock = { now: () => new Date(Date.now() + 86_400_000), sleep: () => Promise.resolve() }

it('tells the time of the database, whatever the clock of the host says', async () => {
  const clock = new DatabaseClock(db, wrong)
  expect(clock.now().getTime() - Date.now()).toBeGreaterThan(80_000_000)
  await clock.sync()
  expect(Math.abs(clock.now().getTime() - Date.now())).toBeLessThan(2_000)
})

it('goes on when the database cannot be asked', async () => {
  let fail = false
  const query: Database['query'] = (statement, params) =>
    fail ? Promise.reject(new Error('gone')) : db.query(statement, params)
  const clock = new DatabaseClock({ query }, wrong)
  await clock.sync()
  fail = true
  await clock.sync()
  expect(Math.abs(clock.now().getTime() - Date.now())).toBeLessThan(2_000)
})
