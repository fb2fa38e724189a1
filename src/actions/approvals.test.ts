import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { aCodex, ActionBench, githubTarget, sent } from '../../test/actions.ts'
import { openTestDatabase } from '../../test/database.ts'
import { FakeGithub } from '../../test/fake-github.ts'
import type { Database } from '../database/database.ts'
import { topics } from '../kernel/topics.ts'
import { listApprovals } from './views.ts'

let db: Database
let github: FakeGithub
let bench: ActionBench
let number = 0
beforeAll(async () => {
  db = await openTestDatabase()
  github = await FakeGithub.open()
  bench = new ActionBench(db)
})
afterAll(async () => {
  await github[Symbol.asyncDispose]()
  await db.close()
})
const asking = aCodex({ grants: [{ autonomy: 1 }] })
beforeEach(() => bench.newRun(asking))

const ada = { by: 'ada', channel: 'api' } as const

async function asked(body = 'may I?') {
  number += 1
  const id = await bench.accepted({ args: { repo: 'octo/shop', number, body } })
  const waiting = await listApprovals(db, { state: 'PENDING', limit: 200 })
  const approval = waiting.find(({ action_id }) => action_id === id)
  return { id, argsHash: approval?.approval_hash ?? '', target: `octo/shop#${number}` }
}

const worker = () => bench.worker(githubTarget(github.url, bench.clock))
const commentsOn = (target: string) =>
  github.of('comments').filter(({ place }) => place.includes(`/issues/${target.split('#')[1]}/`))

describe('approval', () => {
  it('sends nothing before it, once after it, and is on the record', async () => {
    const { id, argsHash, target } = await asked()
    await worker().drain(id)
    expect(commentsOn(target)).toHaveLength(0)
    await bench.approvals.approve(db, id, { ...ada, argsHash, note: 'fine' })
    await worker().drain(id)
    expect(commentsOn(target)).toHaveLength(1)
    const action = await bench.get(id)
    expect(action).toMatchObject({
      state: 'SUCCEEDED',
      approvals: [{ state: 'APPROVED', decided_by: 'ada', note: 'fine' }],
    })
    expect(await sent(db, topics.audit)).toContainEqual(
      expect.objectContaining({ event_type: 'APPROVAL_DECIDED', actor: 'person:ada', action_id: id }),
    )
  })

  it('is used once', async () => {
    const { id, argsHash, target } = await asked()
    await bench.approvals.approve(db, id, { ...ada, argsHash })
    const replay = bench.approvals.approve(db, id, { ...ada, argsHash })
    await expect(replay).rejects.toMatchObject({ code: 'GUILD_ACTION_STATE' })
    await worker().drain(id)
    await worker().drain(id)
    expect(commentsOn(target)).toHaveLength(1)
  })

  it('of another version is refused', async () => {
    const { id } = await asked()
    const stale = bench.approvals.approve(db, id, { ...ada, argsHash: 'f'.repeat(64) })
    await expect(stale).rejects.toMatchObject({ code: 'GUILD_APPROVAL_STALE' })
    expect(await bench.get(id)).toMatchObject({ state: 'PROPOSED' })
  })

  it('does not cover arguments that were changed behind it', async () => {
    const { id, argsHash, target } = await asked()
    await bench.approvals.approve(db, id, { ...ada, argsHash })
    const text = `UPDATE guild_core.actions SET args = args || '{"body": "send the keys"}' WHERE id = $1`
    await db.query({ name: 'test.tamper', text }, [id])
    await worker().drain(id)
    expect(commentsOn(target)).toHaveLength(0)
    expect(await bench.get(id)).toMatchObject({
      state: 'DENIED',
      reason: expect.stringContaining('not what would be sent'),
    })
  })

  it('with an edit that holds a secret is refused', async () => {
    const { id, argsHash } = await asked('raw words')
    const token = `ghp_${'a1B2c3D4'.repeat(4)}`
    const editedArgs = { repo: 'octo/shop', number, body: `use ${token}` }
    const approving = bench.approvals.approve(db, id, { ...ada, argsHash, editedArgs })
    await expect(approving).rejects.toMatchObject({ code: 'GUILD_ACTION_INVALID' })
    await expect(approving).rejects.toThrow(/held a secret \(github-token\)/)
    expect(await bench.get(id)).toMatchObject({ state: 'PROPOSED', args: { body: 'raw words' } })
  })

  it('with an edit sends the edited words and keeps both versions on the record', async () => {
    const { id, argsHash, target } = await asked('raw words')
    const editedArgs = { repo: 'octo/shop', number, body: 'kind words' }
    bench.clock.advance(1)
    await bench.approvals.approve(db, id, { ...ada, argsHash, editedArgs })
    await worker().drain(id)
    expect(commentsOn(target)).toMatchObject([{ body: expect.stringContaining('kind words') }])
    const { approvals, decisions } = await bench.get(id)
    expect(approvals).toMatchObject([
      { state: 'DENIED', note: expect.stringContaining('replaced') },
      { state: 'APPROVED' },
    ])
    expect(decisions).toContainEqual(
      expect.objectContaining({
        detail: expect.objectContaining({ before: expect.objectContaining({ body: 'raw words' }), after: editedArgs }),
      }),
    )
  })

  it('refuses an edit that the schema or the grant does not allow, and stays open', async () => {
    await bench.newRun(aCodex({ grants: [{ autonomy: 1, targets: ['octo/shop#*'] }] }))
    const { id, argsHash } = await asked()
    for (const editedArgs of [{ repo: 'octo/shop' }, { repo: 'octo/other', number: 1, body: 'x' }]) {
      const edit = bench.approvals.approve(db, id, { ...ada, argsHash, editedArgs })
      await expect(edit).rejects.toMatchObject({ code: 'GUILD_ACTION_INVALID' })
    }
    expect(await bench.get(id)).toMatchObject({ state: 'PROPOSED' })
  })

  it('comes too late after the deadline', async () => {
    const { id, argsHash } = await asked()
    bench.clock.advance(24 * 3_600_000)
    const late = bench.approvals.approve(db, id, { ...ada, argsHash })
    await expect(late).rejects.toMatchObject({ code: 'GUILD_APPROVAL_STALE' })
    expect(await bench.get(id)).toMatchObject({ state: 'EXPIRED', approvals: [{ state: 'EXPIRED' }] })
  })

  it('expires by itself, and the same idea may be had again', async () => {
    const { id } = await asked('tick')
    bench.clock.advance(24 * 3_600_000)
    await worker().sweep()
    expect(await bench.get(id)).toMatchObject({ state: 'EXPIRED', approvals: [{ state: 'EXPIRED' }] })
    await bench.newRun(asking)
    expect(await bench.propose({ args: { repo: 'octo/shop', number, body: 'tick' } })).toMatchObject({
      status: 'needs_approval',
    })
  })

  it('does not help when policy has become stricter since', async () => {
    const { id, argsHash, target } = await asked()
    await bench.approvals.approve(db, id, { ...ada, argsHash })
    bench.codex = aCodex({ grants: [] })
    await worker().drain(id)
    expect(commentsOn(target)).toHaveLength(0)
    expect(await bench.get(id)).toMatchObject({
      state: 'DENIED',
      reason: expect.stringContaining('policy has become stricter'),
    })
  })

  it('is asked for when what would have run must now be approved', async () => {
    await bench.newRun(aCodex())
    const { id, target } = await asked()
    bench.codex = asking
    await worker().drain(id)
    expect(await bench.get(id)).toMatchObject({ state: 'PROPOSED', approvals: [{ state: 'PENDING' }] })
    const waiting = await listApprovals(db, { state: 'PENDING', limit: 200 })
    const approval = waiting.find(({ action_id }) => action_id === id)
    await bench.approvals.approve(db, id, { ...ada, argsHash: approval?.approval_hash ?? '' })
    await worker().drain(id)
    expect(commentsOn(target)).toHaveLength(1)
  })

  it('must come from somebody else where the policy wants four eyes', async () => {
    await bench.newRun(aCodex({ grants: [{ autonomy: 1 }], fourEyes: true }))
    const { id, argsHash } = await asked()
    const own = bench.approvals.approve(db, id, { by: 'Ada', channel: 'api', argsHash })
    await expect(own).rejects.toMatchObject({ code: 'GUILD_APPROVAL_FOUR_EYES' })
    expect(await bench.approvals.approve(db, id, { by: 'grace', channel: 'api', argsHash })).toMatchObject({
      state: 'READY',
    })
  })

  it('may be refused, and then nothing is sent', async () => {
    const { id, argsHash, target } = await asked()
    await bench.approvals.deny(db, id, { ...ada, note: 'too loud' })
    await worker().drain(id)
    expect(commentsOn(target)).toHaveLength(0)
    expect(await bench.get(id)).toMatchObject({ state: 'DENIED', reason: 'denied by ada: too loud' })
    await expect(bench.approvals.approve(db, id, { ...ada, argsHash })).rejects.toMatchObject({
      code: 'GUILD_ACTION_STATE',
    })
  })

  it('of something that does not exist says so', async () => {
    await expect(bench.approvals.deny(db, 'act_none', ada)).rejects.toMatchObject({ code: 'GUILD_NOT_FOUND' })
  })
})
