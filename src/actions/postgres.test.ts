import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { aCodex, ActionBench, githubTarget } from '../../test/actions.ts'
import { FakeGithub } from '../../test/fake-github.ts'
import { openTestPostgres } from '../../test/postgres.ts'
import type { Database } from '../database/database.ts'
import { getAction, listActions, listApprovals } from './views.ts'

// The embedded database has one connection; only a server shows what two workers do to one another.
const server: Database | null = await openTestPostgres()

let github: FakeGithub
beforeAll(async () => {
  github = await FakeGithub.open()
})
afterAll(async () => {
  await github[Symbol.asyncDispose]()
  await server?.close()
})

let bench: ActionBench
beforeEach(async () => {
  if (!server) return
  bench = new ActionBench(server)
  await server.query({ name: 'test.calm', text: 'DELETE FROM guild_core.breakers' })
  await bench.newRun()
})

describe.skipIf(!server)('on a server', () => {
  it('makes one action of 50 proposals that mean the same, made at once', async () => {
    const args = { repo: 'octo/shop', number: 1, body: 'the same' }
    const receipts = await Promise.all(Array.from({ length: 50 }, () => bench.propose({ args })))
    expect(receipts.filter(({ status }) => status === 'queued')).toHaveLength(1)
    expect(receipts.filter(({ status }) => status === 'duplicate')).toHaveLength(49)
  })

  it('gives one receipt to a step proposed twice at once', async () => {
    const args = { repo: 'octo/shop', number: 2, body: 'once' }
    const receipts = await Promise.all([1, 2].map(() => bench.propose({ args, key: `twice-${bench.invocationId}` })))
    expect(receipts[0]).toEqual(receipts[1])
  })

  it('keeps the order of a target and one call at a time, with five workers on it', async () => {
    const ids: string[] = []
    for (let n = 0; n < 10; n += 1)
      ids.push(await bench.accepted({ args: { repo: 'octo/shop', number: 3, body: `word ${n}.` } }))
    const workers = Array.from({ length: 5 }, (_, n) =>
      bench.worker(githubTarget(github.url, bench.clock), { owner: `w${n}` }),
    )
    const work = async (worker: (typeof workers)[number]) => {
      for (const id of ids) await worker.drain(id)
    }
    await Promise.all(workers.map(work))
    const writes = github.requests.filter(({ method }) => method !== 'GET')
    expect(writes.map(({ body }) => /word (\d+)\./.exec(JSON.stringify(body))?.[1])).toEqual(
      ids.map((_, n) => String(n)),
    )
    expect(github.writesAtOnceMax).toBe(1)
  })

  it('decides, looks, expires and settles with the same statements', async () => {
    const db = server
    if (!db) return
    await bench.newRun(aCodex({ grants: [{ autonomy: 1 }] }))
    const words = (n: number) => bench.accepted({ args: { repo: 'octo/shop', number: n, body: 'may I?' } })
    const [approved, edited, denied, late] = [await words(11), await words(12), await words(13), await words(14)]
    const waiting = await listApprovals(db, { state: 'PENDING' })
    const hashOf = (id: string) => waiting.find(({ action_id }) => action_id === id)?.approval_hash ?? ''
    const ada = { by: 'ada', channel: 'cli' }
    await bench.approvals.approve(db, approved, { ...ada, argsHash: hashOf(approved) })
    const editedArgs = { repo: 'octo/shop', number: 12, body: 'kinder' }
    await bench.approvals.approve(db, edited, { ...ada, argsHash: hashOf(edited), editedArgs })
    await bench.approvals.deny(db, denied, ada)

    github.faults.push({ kind: 'drop-after-write' }, { kind: 'answer', status: 429, headers: { 'retry-after': '1' } })
    const worker = bench.worker(githubTarget(github.url, bench.clock, { minIntervalMs: 10 }))
    for (const id of [approved, edited]) await worker.drain(id)
    for (let n = 0; n < 4; n += 1) {
      bench.clock.advance(10_000)
      await worker.sweep()
    }
    bench.clock.advance(24 * 3_600_000)
    await worker.sweep()
    const states = await Promise.all(
      [approved, edited, denied, late].map(async (id) => (await getAction(db, id))?.state),
    )
    expect(states).toEqual(['SUCCEEDED', 'SUCCEEDED', 'DENIED', 'EXPIRED'])

    await db.query({ name: 'test.park', text: `UPDATE guild_core.actions SET state = 'PARKED' WHERE id = $1` }, [
      approved,
    ])
    await bench.approvals.settle(db, approved, { ...ada, verdict: 'happened' })
    expect(await listActions(db, { states: ['SUCCEEDED'], target: 'octo/shop#11' })).toHaveLength(1)
  })

  it('opens the breaker of a connector for all workers', async () => {
    const db = server
    if (!db) return
    for (let n = 0; n < 6; n += 1) {
      github.faults.push({ kind: 'drop-before-write' })
      const id = await bench.accepted({ args: { repo: 'octo/shop', number: 20 + n, body: 'x' } })
      await bench.worker(githubTarget(github.url, bench.clock), { owner: `w${n}` }).drain(id)
    }
    expect(await listActions(db, { states: ['AMBIGUOUS'] })).toHaveLength(5)
    expect(await listActions(db, { target: 'octo/shop#25' })).toMatchObject([
      { state: 'READY', reason: expect.stringContaining('failing') },
    ])
  })
})
