import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { FaultKind } from '../src/sandbox/faults.ts'
import type { Database } from '../src/database/database.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { Secret } from '../src/kernel/secret.ts'
import { type Sandbox, sandboxLogin, sandboxToken, startSandbox } from '../src/sandbox/sandbox.ts'
import { aCodex, ActionBench, githubTarget } from './actions.ts'
import { openTestDatabase } from './database.ts'

// The executor against the GitHub that users rehearse with: its wire format, its faults.
const sha = 'a'.repeat(40)
const pullNumber = 1
let db: Database
let sandbox: Sandbox
let bench: ActionBench
let faulty = 0
beforeAll(async () => {
  db = await openTestDatabase()
  sandbox = await startSandbox({ clock: systemClock })
  const issues = Array.from({ length: 12 }, (_, n) => ({ number: n + 2, title: `issue ${n}`, user: 'ada' }))
  const pulls = [{ number: pullNumber, title: 'Mend the till', user: 'ada', head: { ref: 'till', sha } }]
  const commits = [{ sha, message: 'Mend the till', author: { name: 'Ada' } }]
  sandbox.github.plant({ repositories: [{ full_name: 'octo/shop', commits, pulls, issues }] })
})
afterAll(async () => {
  await sandbox.close()
  await db.close()
})
beforeEach(async () => {
  bench = new ActionBench(db)
  await db.query({ name: 'test.calm', text: 'DELETE FROM guild_core.breakers' })
  const types = ['GITHUB_COMMENT', 'GITHUB_REVIEW', 'GITHUB_LABEL', 'GITHUB_CHECK_RUN', 'GITHUB_ISSUE']
  await bench.newRun(aCodex({ grants: types.map((type) => ({ type })) }))
})

const worker = (timeoutMs = 15_000) =>
  bench.worker(
    githubTarget(sandbox.url, bench.clock, {
      token: async () => new Secret(sandboxToken),
      botLogin: sandboxLogin,
      timeoutMs,
    }),
  )

async function comments(number: number): Promise<readonly { body: string }[]> {
  const headers = { authorization: `Bearer ${sandboxToken}` }
  const response = await fetch(`${sandbox.url}/repos/octo/shop/issues/${number}/comments`, { headers })
  return (await response.json()) as readonly { body: string }[]
}

it.each([
  ['GITHUB_COMMENT', { repo: 'octo/shop', number: pullNumber, body: 'hello' }],
  ['GITHUB_REVIEW', { repo: 'octo/shop', number: pullNumber, event: 'COMMENT', body: 'fine' }],
  ['GITHUB_LABEL', { repo: 'octo/shop', number: pullNumber, add: ['bug'], remove: ['stale'] }],
  [
    'GITHUB_CHECK_RUN',
    { repo: 'octo/shop', head_sha: sha, name: 'guild', conclusion: 'success', title: 't', summary: 's' },
  ],
  ['GITHUB_ISSUE', { repo: 'octo/shop', title: 'Leak', body: 'found' }],
])('%s arrives', async (type, args) => {
  const id = await bench.accepted({ type, args })
  await worker().drain(id)
  expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED', confirmed_by: 'response' })
})

it('has one comment per agent and thread', async () => {
  for (const body of ['one', 'two', 'three']) {
    await worker().drain(await bench.accepted({ args: { repo: 'octo/shop', number: 2, body } }))
  }
  expect(await comments(2)).toMatchObject([{ body: expect.stringContaining('three') }])
})

it.each<[FaultKind, string]>([
  ['reset-after-write', 'probe'],
  ['hang-after-write', 'probe'],
  ['status-500-after-write', 'probe'],
  ['reset', 'response'],
  ['hang', 'response'],
  ['status-502', 'response'],
  ['secondary-limit', 'response'],
  ['status-429', 'response'],
])('makes exactly one comment in spite of %s', async (kind, confirmedBy) => {
  const number = 3 + faulty++
  sandbox.github.fault({ match: 'POST /repos/octo/shop/issues/*/comments', kind })
  const id = await bench.accepted({ args: { repo: 'octo/shop', number, body: 'hello' } })
  await worker(kind.startsWith('hang') ? 1_500 : undefined).drain(id)
  for (let n = 0; n < 6; n += 1) {
    bench.clock.advance(31_000)
    await worker().sweep()
  }
  expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED', confirmed_by: confirmedBy })
  expect(await comments(number)).toHaveLength(1)
})
