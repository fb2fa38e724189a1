import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Database } from '../database/database.ts'
import { openTestDatabase } from '../../test/database.ts'
import { Bench, type BenchSetup, MortalDatabase } from '../../test/executor-bench.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const setup: BenchSetup = {
  spec: { tools: { actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 5 }] }, limits: { maxSteps: 2 } },
  // A model that calls tools also where it was offered none.
  script: (_, call) => ({ text: 'Landed.', toolCalls: [{ id: `c${call}`, name: 'GITHUB_COMMENT', args: {} }] }),
}

it('does nothing that a closing answer asks for, also when its worker died right after it', async () => {
  const whole = new MortalDatabase(db)
  const calm = await Bench.open(db, setup)
  await calm.finish(calm.deps(whole))
  expect(await calm.row()).toMatchObject({ state: 'STOPPED', reason: 'MAX_STEPS', summary: 'Landed.' })
  expect(await calm.actions()).toBe(1)

  for (let trip = 1; trip <= whole.trips; trip += 1) {
    const bench = await Bench.open(db, setup)
    await bench.deliver(bench.deps(new MortalDatabase(db, trip))).catch(() => null)
    await bench.finish()
    // A first answer that was lost with its worker was paid and counts: the second call is then the last, and its answer the closing one.
    const lost = (await bench.journal()).some((line) => line.startsWith('1 llm') && line.endsWith('LOST'))
    expect([trip, await bench.actions()]).toEqual([trip, lost ? 0 : 1])
  }
}, 60_000)
