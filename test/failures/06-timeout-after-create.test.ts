// Mutations, each made by hand and taken back:
// - src/actions/transitions.ts, afterCall: `unknown` becomes RETRY instead of AMBIGUOUS → two tickets, all three cases.
// - src/actions/targets/github/action.ts, isOurs: finds nothing, whatever the marker → two tickets, all three cases.
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import type { FaultKind } from '../../src/sandbox/faults.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts'
import { openTestDatabase } from '../database.ts'
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

it.each<[string, FaultKind]>([
  ['HTTP timeout', 'hang-after-write'],
  ['connection lost', 'reset-after-write'],
  ['server error', 'status-500-after-write'],
])('%s after the server created the ticket → the probe finds the marker, no duplicate', async (_, kind) => {
  const title = `The roof leaks, ${kind}`
  const line = await Line.open(db, sandbox, {
    spec: { tools: { actions: [{ type: 'GITHUB_ISSUE', autonomy: 2, await: true }] } },
    script: (_request, call) =>
      call === 1
        ? { toolCalls: [{ id: 'c', name: 'GITHUB_ISSUE', args: { repo: 'octo/shop', title, body: 'found' } }] }
        : { text: 'Done.' },
  })
  await line.run()
  sandbox.github.fault({ match: 'POST /repos/octo/shop/issues', kind })
  const [action] = await line.actions()
  const worker = line.worker({}, line.target(kind.startsWith('hang') ? 2_500 : undefined))
  await worker.drain(action?.id ?? '')
  for (let n = 0; n < 3; n += 1) {
    line.clock.advance(31_000)
    await worker.sweep()
  }
  await line.run()

  const all = await line.github<{ title: string; html_url: string; body: string }[]>(
    '/repos/octo/shop/issues?state=all',
  )
  const made = all.filter((issue) => issue.title === title)
  expect(made).toMatchObject([{ body: expect.stringContaining(`<!-- guild:${action?.id} -->`) }])
  const [settled] = await line.actions()
  expect(settled).toMatchObject({
    state: 'SUCCEEDED',
    confirmed_by: 'probe',
    remote_url: made[0]?.html_url,
    attempts: 1,
  })
  const writes = sandbox.github.received().filter((one) => JSON.stringify(one).includes(title))
  expect(writes).toHaveLength(1)
  expect(JSON.parse(line.told())).toMatchObject({ status: 'succeeded', url: made[0]?.html_url })
})
