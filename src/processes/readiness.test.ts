import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { testPostgres } from '../../test/postgres.ts'
import type { Database } from '../database/database.ts'
import { PostgresDatabase } from '../database/postgres/postgres-database.ts'
import { silentLog } from '../kernel/log.ts'
import { LoopWatch } from './loop-watch.ts'
import { Readiness, type ReadinessDeps } from './readiness.ts'
import { Health } from './run-services.ts'

let database: Database
beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database.close())

const ready = (over: Partial<ReadinessDeps> = {}): Readiness =>
  new Readiness({ database, health: new Health(), loop: { stuckMs: () => 0 }, log: silentLog, ...over })
const noSleep = { now: () => new Date(), sleep: () => Promise.resolve() }

describe('readiness', () => {
  it('is given when database, schema, bus, loop and services are well', async () => {
    expect(await ready({ bus: () => [] }).reasons()).toEqual([])
  })

  it('names every reason against it', async () => {
    const health = new Health()
    health.down({ name: 'codex', run: () => Promise.resolve() })
    const newer = [{ version: 9_999, file: '9999_next.sql', text: '', sha256: '' }]
    const unready = ready({
      health,
      loop: { stuckMs: () => 6_000 },
      bus: () => ['redis does not answer; see the log'],
      migrations: newer,
    })
    expect(await unready.reasons()).toEqual([
      'event loop: it stood still for 6000 ms',
      expect.stringMatching(/^schema: it is at \d+, this version needs 9999$/),
      'bus: redis does not answer; see the log',
      'service codex: it has stopped and is started again; see the log',
    ])
  })

  it('goes on while a newer version has migrated the database: else an upgrade would take all processes out', async () => {
    expect(await ready({ migrations: [] }).reasons()).toEqual([])
  })

  it('is over at once when the process is told to stop', async () => {
    const one = ready()
    one.leave()
    expect(await one.reasons()).toEqual(['draining: the process was told to stop'])
  })

  it('does not wait for a store that is silent, and asks once for many probes', async () => {
    let asked = 0
    const silentDatabase: Database = Object.assign(Object.create(database), {
      query: () => {
        asked += 1
        return new Promise<never>(() => undefined)
      },
    })
    const silent = ready({ clock: noSleep, database: silentDatabase })
    const all = await Promise.all(Array.from({ length: 20 }, () => silent.reasons()))
    expect(new Set(all.flat())).toEqual(new Set(['database: it does not answer; see the log']))
    expect(asked).toBe(1)
  })
})

const server = await testPostgres()
it.skipIf(server === null)('ends and comes back with the database server', { timeout: 60_000 }, async () => {
  if (server === null) return
  await using db = await PostgresDatabase.open({ url: await server.newDatabase() })
  const one = ready({ database: db })
  expect(await one.reasons()).toEqual([])
  await server.stop()
  expect(await one.reasons()).toEqual(['database: it does not answer; see the log'])
  await server.resume()
  await expect.poll(() => one.reasons(), { timeout: 20_000 }).toEqual([])
})

describe('the watch on the event loop', () => {
  it('tells a standstill of seconds for ten seconds, and no shorter one', () => {
    let now = 0
    using watch = new LoopWatch(() => now)
    now = 3_000
    expect(watch.stuckMs()).toBe(0)
    now = 3_000 + 1_000 + 8_000
    expect(watch.stuckMs()).toBe(8_000)
    for (let more = 0; more < 9; more += 1) {
      now += 1_000
      watch.look()
    }
    expect(watch.stuckMs()).toBe(8_000)
    now += 1_001
    expect(watch.stuckMs()).toBe(0)
  })
})
