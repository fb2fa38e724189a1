import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { openTestDatabase, templateDump } from '../../../test/database.ts'
import { databaseConformance } from '../conformance.ts'
import { LocalEngine } from './engine.ts'
import { PgliteDatabase } from './pglite-database.ts'

describe('PgliteDatabase', async () => {
  const home = await mkdtemp(join(tmpdir(), 'guild home '))
  const empty = join(home, 'empty')
  // Initialising takes seconds; home-database.test.ts does it once for real.
  const first = await LocalEngine.open({ folder: empty, dump: await templateDump() }, () => undefined)
  await first.close()
  let copies = 0
  afterAll(() => rm(home, { recursive: true, force: true }))

  databaseConformance('in a thread, on a folder', {
    connections: 'one',
    open: async () => {
      copies += 1
      await cp(empty, join(home, `copy ${copies}`), { recursive: true })
      return PgliteDatabase.open(join(home, `copy ${copies}`))
    },
  })

  databaseConformance('in memory', {
    connections: 'one',
    open: async () => {
      const db = await openTestDatabase()
      if (db instanceof PgliteDatabase) return db
      throw new Error('the test database is another one')
    },
  })

  it('serves first come, first served', async () => {
    await using db = await PgliteDatabase.open(empty)
    const order: number[] = []
    await Promise.all(
      [1, 2, 3, 4].map(async (n) => {
        await db.query({ name: '', text: `SELECT pg_sleep(${n === 1 ? 0.05 : 0})` })
        order.push(n)
      }),
    )
    expect(order).toEqual([1, 2, 3, 4])
  })

  it('refuses a folder that is no database', async () => {
    await expect(PgliteDatabase.open('/dev/null/db')).rejects.toMatchObject({ code: 'GUILD_DATABASE_UNAVAILABLE' })
  })

  it('goes on when what it does in the background fails', async () => {
    vi.useFakeTimers()
    try {
      const full = () =>
        Promise.reject(Object.assign(new Error('index is corrupt'), { severity: 'ERROR', code: 'XX002' }))
      const engine = { run: full, script: full, dump: full, close: () => Promise.resolve() }
      await using db = new PgliteDatabase(engine, new Set())
      await expect(db.query({ name: '', text: 'SELECT 1' })).rejects.toMatchObject({ code: 'GUILD_DATABASE_REFUSED' })
      // An unhandled rejection fails the run.
      await vi.advanceTimersByTimeAsync(20_000)
    } finally {
      vi.useRealTimers()
    }
  })

  it('vacuums a table of dead rows, which no server does for it', async () => {
    await using db = await PgliteDatabase.open(empty)
    await db.transaction((tx) => tx.script('CREATE TABLE q (n int); INSERT INTO q SELECT generate_series(1, 200);'))
    await db.query({ name: '', text: 'UPDATE q SET n = n + 1' })
    expect(await db.maintain()).toEqual(['VACUUM (ANALYZE) public.q'])
    expect(await db.maintain()).toEqual([])
  })
})
