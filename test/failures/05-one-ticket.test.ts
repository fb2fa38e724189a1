// Mutations, each made by hand and taken back:
// - src/actions/desk.ts, propose: `claimMeaning` not asked → all three fail: three tickets (of two agents: three) instead of one.
// - src/executor/journal.sql, claim: the condition that the lease has lapsed left out → "two runs": attempts is 2 instead of 1. (The epoch
//   alone still keeps it at one ticket.)
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts'
import { openTestDatabase } from '../database.ts'
import type { BenchSetup } from '../executor-bench.ts'
import { Line } from '../line.ts'

let db: Database
let sandbox: Sandbox
beforeAll(async () => {
  db = await openTestDatabase()
  sandbox = await startSandbox({ clock: systemClock })
  sandbox.github.plant({ repositories: [{ full_name: 'octo/shop' }] })
})
afterAll(async () => {
  await sandbox.close()
  await db.close()
})

/** An agent that opens the same issue twice in one answer, and once more in the next. */
function twice(title: string): BenchSetup {
  const create = (id: string, text: string) => ({
    id,
    name: 'GITHUB_ISSUE',
    args: { repo: 'octo/shop', title: text, body: `found by ${id}` },
  })
  return {
    spec: { tools: { actions: [{ type: 'GITHUB_ISSUE', autonomy: 2, max: 5 }] } },
    script: (_request, call) => {
      if (call === 1) return { toolCalls: [create('a', title), create('b', title)] }
      if (call === 2) return { toolCalls: [create('c', title.toUpperCase())] }
      return { text: 'Done.' }
    },
  }
}

const tickets = async (line: Line, title: string) => {
  const all = await line.github<{ title: string }[]>('/repos/octo/shop/issues?state=all')
  return all.filter((issue) => issue.title.toLowerCase() === title.toLowerCase())
}

it('model emits the same create twice → one ticket', async () => {
  const line = await Line.open(db, sandbox, twice('The till leaks'))
  await line.finish()
  await line.carryOut()
  expect(await tickets(line, 'The till leaks')).toHaveLength(1)
  const [action] = await line.actions()
  expect(await line.actions()).toHaveLength(1)
  expect(line.told()).toContain(`"status":"duplicate","action_id":"${action?.id}"`)
})

it('two runs for one delivery → one ticket', async () => {
  const line = await Line.open(db, sandbox, twice('The drawer sticks'))
  // Two workers with the same message: one has the lease, the other comes back and finds the run over.
  const both = await Promise.all([line.run(), line.run()])
  await line.finish()
  for (const action of await line.actions())
    await Promise.all([line.worker().drain(action.id), line.worker().drain(action.id)])
  expect(both.filter((nack) => nack === null)).toHaveLength(1)
  expect(await line.bench.row()).toMatchObject({ state: 'COMPLETED', attempts: 1 })
  expect(line.bench.llm.requests).toHaveLength(3)
  expect(await line.actions()).toHaveLength(1)
  expect(await tickets(line, 'The drawer sticks')).toHaveLength(1)
})

it('two agents with the same idea → one ticket', async () => {
  const lines = [
    await Line.open(db, sandbox, twice('The lamp flickers')),
    await Line.open(db, sandbox, twice('the lamp  FLICKERS')),
  ]
  for (const line of lines) await line.finish()
  for (const line of lines) await line.carryOut()
  const [first, second] = lines
  if (!first || !second) throw new Error('there are two')
  expect(first.bench.agent.id).not.toBe(second.bench.agent.id)
  expect(await tickets(first, 'The lamp flickers')).toHaveLength(1)
  expect(await second.actions()).toHaveLength(0)
  expect(second.told()).toContain((await first.actions())[0]?.id)
})
