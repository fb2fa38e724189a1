import { afterAll, beforeAll, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { Bench, MortalDatabase } from '../../test/executor-bench.ts'
import type { Database } from '../database/database.ts'
import { cancelRun } from './cancel.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const spec = { tools: { actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 3 }] } }
const commentThenDone = (call: number) =>
  call === 1 ? { toolCalls: [{ id: '1', name: 'GITHUB_COMMENT', args: { body: 'x' } }] } : { text: 'Done.' }

it('an answer is committed together with its actions, and with the end of the run', async () => {
  const bench = await Bench.open(db, { spec, script: (_, call) => commentThenDone(call) })
  const counted = new MortalDatabase(db)
  expect(await bench.deliver(bench.deps(counted))).toBeNull()
  expect(counted.statements.filter((name) => name === 'journal.write')).toHaveLength(4)
  expect(await bench.ledger()).toMatchObject({ open: 0, charged: 2, reserved: 0 })
})

it('an answer outlives what it has set off: actions that cannot be proposed cost no second call', async () => {
  const bench = await Bench.open(db, { spec, script: (_, call) => commentThenDone(call) })
  const deps = bench.deps()
  const failing = { ...deps.intake, propose: () => Promise.reject(new Error('no room for actions')) }
  const nack = await bench.deliver(bench.deps(db, { intake: failing }))
  expect(nack?.reason).toContain('no room for actions')
  expect(await bench.journal()).toContain('1 llm a/one DONE')
  expect(await bench.ledger()).toMatchObject({ open: 0, charged: 1, reserved: 0 })
  await bench.finish()
  expect(bench.llm.requests).toHaveLength(2)
  expect(await bench.actions()).toBe(1)
  expect(await bench.row()).toMatchObject({ state: 'COMPLETED', model_calls: 2, tool_calls: 1, actions: 1 })
})

it('a cancellation during the last call is heard before the run ends', async () => {
  const bench: Bench = await Bench.open(db, {
    script: async () => {
      await cancelRun(bench.deps(), { id: bench.id, by: 'person:ada', note: null })
      return { text: 'Done.' }
    },
  })
  expect(await bench.deliver()).toBeNull()
  expect(await bench.row()).toMatchObject({ state: 'STOPPED', reason: 'CANCELLED', model_calls: 1 })
  expect(await bench.ledger()).toMatchObject({ open: 0, charged: 1, reserved: 0 })
})
