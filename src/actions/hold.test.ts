import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { aCodex, ActionBench, githubTarget, sent } from '../../test/actions.ts'
import { openTestDatabase } from '../../test/database.ts'
import { FakeGithub } from '../../test/fake-github.ts'
import type { Database } from '../database/database.ts'
import { topics } from '../kernel/topics.ts'
import { listApprovals } from './views.ts'

let db: Database
let github: FakeGithub
let bench: ActionBench
let number = 500
beforeAll(async () => {
  db = await openTestDatabase()
  github = await FakeGithub.open()
  bench = new ActionBench(db)
})
afterAll(async () => {
  await github[Symbol.asyncDispose]()
  await db.close()
})

const ada = { by: 'ada', channel: 'cli' } as const
const worker = () => bench.worker(githubTarget(github.url, bench.clock))
const said = (text: string) => github.of('comments').filter(({ body }) => String(body).includes(text))

async function held(body: string, hold = '30s') {
  await bench.newRun(aCodex({ grants: [{ hold }] }))
  number += 1
  const receipt = await bench.propose({ args: { repo: 'octo/shop', number, body } })
  const id = receipt.actionId ?? ''
  const waiting = await listApprovals(db, { state: 'PENDING', limit: 200 })
  return { id, receipt, approval: waiting.find(({ action_id }) => action_id === id) }
}

describe('a held action', () => {
  it('is on the desk with its end, goes by itself then, and not before', async () => {
    const { id, receipt, approval } = await held('patience')
    expect(receipt).toMatchObject({ status: 'held', reason: expect.stringContaining('30 s') })
    expect(approval).toMatchObject({ kind: 'hold', hold_until: new Date(bench.clock.now().getTime() + 30_000) })
    expect(await sent(db, topics.actions)).toContainEqual({ action_id: id })
    bench.clock.advance(29_999)
    await worker().drain(id)
    expect(await bench.get(id)).toMatchObject({ state: 'HELD' })
    bench.clock.advance(1)
    await worker().sweep()
    expect(await bench.get(id)).toMatchObject({
      state: 'SUCCEEDED',
      approvals: [{ state: 'EXPIRED', note: 'the hold is over; nobody has stopped it' }],
    })
    expect(said('patience')).toHaveLength(1)
  })

  it('can be stopped, and then it is never sent and its idea is free', async () => {
    const { id } = await held('a mistake')
    await bench.approvals.deny(db, id, { ...ada, note: 'wrong issue' })
    bench.clock.advance(60_000)
    await worker().sweep()
    expect(await bench.get(id)).toMatchObject({ state: 'DENIED', reason: 'denied by ada: wrong issue' })
    expect(said('a mistake')).toHaveLength(0)
    expect(await bench.propose({ args: { repo: 'octo/shop', number, body: 'a mistake' } })).toMatchObject({
      status: 'held',
    })
  })

  it('can be let go at once, and edited in the same act', async () => {
    const early = await held('as it is')
    await bench.approvals.approve(db, early.id, { ...ada, argsHash: early.approval?.approval_hash ?? '' })
    await worker().drain(early.id)
    expect(said('as it is')).toHaveLength(1)

    const edited = await held('rough words')
    bench.clock.advance(1)
    const editedArgs = { repo: 'octo/shop', number, body: 'smooth words' }
    await bench.approvals.approve(db, edited.id, { ...ada, argsHash: edited.approval?.approval_hash ?? '', editedArgs })
    await worker().drain(edited.id)
    expect(said('rough words')).toHaveLength(0)
    expect(said('smooth words')).toHaveLength(1)
  })

  it('is judged again when its window ends', async () => {
    const { id } = await held('too late')
    bench.codex = aCodex({ grants: [{ hold: '30s', autonomy: 1 }] })
    bench.clock.advance(30_000)
    await worker().sweep()
    expect(await bench.get(id)).toMatchObject({ state: 'PROPOSED', reason: expect.stringContaining('stricter') })
    expect(said('too late')).toHaveLength(0)
    const { approvals } = await bench.get(id)
    expect(approvals).toMatchObject([
      { kind: 'hold', state: 'EXPIRED' },
      { kind: 'ask', state: 'PENDING' },
    ])
  })

  it('keeps its place: what was asked for later on the same target waits behind it', async () => {
    const first = await held('first in line')
    await bench.newRun(aCodex())
    const second = await bench.accepted({ args: { repo: 'octo/shop', number, body: 'second in line' } })
    await worker().drain(second)
    expect(said('second in line')).toHaveLength(0)
    bench.clock.advance(30_000)
    await worker().sweep()
    expect(await bench.get(first.id)).toMatchObject({ state: 'SUCCEEDED' })
    expect(await bench.get(second)).toMatchObject({ state: 'SUCCEEDED' })
    expect(github.writes.slice(-2)).toEqual([
      expect.stringMatching(/^POST .*comments/),
      expect.stringMatching(/^PATCH .*comments/),
    ])
  })

  it('is not held in shadow, where nothing leaves', async () => {
    await bench.newRun(aCodex({ grants: [{ hold: '30s' }], mode: 'shadow' }))
    number += 1
    expect(await bench.propose({ args: { repo: 'octo/shop', number, body: 'quiet' } })).toMatchObject({
      status: 'shadow',
    })
  })
})
