import { afterAll, expect, it } from 'vitest'
import { Bench, rule } from '../../test/executor-bench.ts'
import { openTestPostgres } from '../../test/postgres.ts'

// The embedded database has one connection; only a server lets two claims meet.
const db = await openTestPostgres()
afterAll(() => db?.close())

it.skipIf(db === null)('fifty executors that get the same message at once run it once', async () => {
  if (db === null) return
  const bench = await Bench.open(db, {
    spec: { model: { prefer: ['rules'] }, tools: { actions: [{ type: 'GITHUB_COMMENT', autonomy: 2 }] } },
    rules: [rule('always', 'true', { do: [{ action: 'GITHUB_COMMENT', args: { body: 'x' } }], summary: 'Said x.' })],
  })
  const workers = Array.from({ length: 50 }, (_, index) => bench.deliver({ ...bench.deps(), owner: `worker-${index}` }))
  const nacks = await Promise.all(workers)
  expect(nacks.filter((nack) => nack?.dead)).toEqual([])
  expect(await bench.row()).toMatchObject({ state: 'COMPLETED', attempts: 1, lease_epoch: 1 })
  expect(bench.proposals).toHaveLength(1)
})

it.skipIf(db === null)('takeovers that race leave one owner, and one charge for each call', async () => {
  if (db === null) return
  const gate = Promise.withResolvers<void>()
  const bench = await Bench.open(db, {
    script: async (_, call) => {
      if (call === 1) await gate.promise
      return { text: 'ok' }
    },
  })
  const frozen = bench.deliver()
  await expect.poll(() => bench.llm.requests.length).toBe(1)
  await bench.lapse()
  const racing = Array.from({ length: 20 }, (_, index) => bench.deliver({ ...bench.deps(), owner: `worker-${index}` }))
  await Promise.all(racing)
  gate.resolve()
  expect(await frozen).toMatchObject({ reason: 'another worker has taken over' })
  expect(await bench.row()).toMatchObject({ state: 'COMPLETED', attempts: 2, lease_epoch: 2 })
  expect(bench.llm.requests).toHaveLength(2)
  expect(await bench.ledger()).toMatchObject({ open: 0, charged: 2, reserved: 0 })
})
