import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { aCodex, ActionBench, sent } from '../../test/actions.ts'
import { openTestDatabase } from '../../test/database.ts'
import type { Database } from '../database/database.ts'
import { topics } from '../kernel/topics.ts'
import { listActions, listApprovals } from './views.ts'

let db: Database
let bench: ActionBench
beforeAll(async () => {
  db = await openTestDatabase()
  bench = new ActionBench(db)
})
afterAll(async () => db.close())

const comment = (number: number, body: string, repo = 'octo/shop') => ({ repo, number, body })

describe('the desk', () => {
  it('accepts what is granted: a row, its message, its decision and its audit entry', async () => {
    await bench.newRun()
    const receipt = await bench.propose({ args: comment(1, 'hello') })
    expect(receipt).toMatchObject({ status: 'queued', reason: expect.stringContaining('octo/shop#1') })
    const action = await bench.get(receipt.actionId ?? '')
    expect(action).toMatchObject({ state: 'READY', target: 'octo/shop#1', connector: 'github', provider: 'rules' })
    expect(action.decisions).toMatchObject([
      { stage: 'policy', outcome: 'queued', rule: 'agents/sentinel.yaml#GITHUB_COMMENT' },
    ])
    expect(await sent(db, topics.actions)).toContainEqual({ action_id: action.id })
    expect(await sent(db, topics.audit)).toContainEqual(
      expect.objectContaining({ event_type: 'ACTION_PROPOSED', action_id: action.id, actor: 'agent:sentinel' }),
    )
  })

  it('gives the same receipt again for the same step', async () => {
    await bench.newRun()
    const first = await bench.propose({ key: 'step-7', args: comment(2, 'once') })
    const second = await bench.propose({ key: 'step-7', args: comment(2, 'once') })
    expect(second).toEqual(first)
    expect(await listActions(db, { target: 'octo/shop#2' })).toHaveLength(1)
  })

  it('makes one action of 50 proposals that mean the same', async () => {
    await bench.newRun()
    const receipts = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        bench.propose({ args: comment(3, n % 2 ? 'Fix  the cart' : 'fix the cart') }),
      ),
    )
    expect(receipts.filter(({ status }) => status === 'queued')).toHaveLength(1)
    expect(receipts.filter(({ status }) => status === 'duplicate')).toHaveLength(49)
    expect(new Set(receipts.map(({ actionId }) => actionId)).size).toBe(1)
    expect(await listActions(db, { target: 'octo/shop#3' })).toHaveLength(1)
  })

  it('takes red, green, red for news, because a comment is replaced', async () => {
    await bench.newRun()
    for (const body of ['red', 'green', 'red']) {
      expect(await bench.propose({ args: comment(4, body) })).toMatchObject({ status: 'queued' })
    }
    expect(await bench.propose({ args: comment(4, 'red') })).toMatchObject({ status: 'duplicate' })
  })

  it('takes the same issue twice for a duplicate, whatever was opened in between, until the window has passed', async () => {
    await bench.newRun(aCodex({ grants: [{ type: 'GITHUB_ISSUE' }] }))
    const issue = (title: string) => ({ type: 'GITHUB_ISSUE', args: { repo: 'octo/shop', title, body: 'b' } })
    expect(await bench.propose(issue('A'))).toMatchObject({ status: 'queued' })
    expect(await bench.propose(issue('B'))).toMatchObject({ status: 'queued' })
    expect(await bench.propose(issue('a '))).toMatchObject({ status: 'duplicate' })
    bench.clock.advance(24 * 3_600_000 + 1)
    expect(await bench.propose(issue('A'))).toMatchObject({ status: 'queued' })
  })

  it.each([
    ['a type nobody knows', { type: 'ROCKET_LAUNCH' }, /no target knows/],
    ['arguments that do not fit', { args: { repo: 'octo/shop', number: 0, body: 'x' } }, /number/],
    ['a repository that is a path', { args: comment(1, 'x', '../../admin') }, /repo/],
    ['a body beyond the limit', { args: comment(1, 'x'.repeat(60_001)) }, /body/],
    ['arguments that are no object', { args: 'rm -rf' }, /object/],
  ])('denies %s without a row, and says why', async (_, over, why) => {
    await bench.newRun()
    const receipt = await bench.propose(over)
    expect(receipt).toMatchObject({ status: 'denied', actionId: null, reason: expect.stringMatching(why) })
  })

  it('stores what PostgreSQL and hashes cannot hold without them', async () => {
    await bench.newRun()
    const receipt = await bench.propose({ args: comment(5, 'a\0b\ud800c') })
    expect((await bench.get(receipt.actionId ?? '')).args).toMatchObject({ body: 'ab\ufffdc' })
  })

  it('keeps a refusal as a DENIED row', async () => {
    await bench.newRun(aCodex({ grants: [{ targets: ['octo/other#*'] }] }))
    const receipt = await bench.propose({ args: comment(6, 'x') })
    expect(receipt.status).toBe('denied')
    expect(await bench.get(receipt.actionId ?? '')).toMatchObject({ state: 'DENIED', finished_at: expect.any(Date) })
  })

  it('recommends at autonomy 0, asks at 1 and after words of outsiders, and is honest about shadow', async () => {
    await bench.newRun(aCodex({ grants: [{ autonomy: 0 }] }))
    expect(await bench.propose()).toMatchObject({ status: 'denied', reason: expect.stringContaining('recommend only') })
    await bench.newRun(aCodex({ grants: [{ autonomy: 1 }] }))
    expect(await bench.propose()).toMatchObject({ status: 'needs_approval' })
    await bench.newRun()
    expect(await bench.propose({ integrity: 'public' })).toMatchObject({ status: 'needs_approval' })
    await bench.newRun(aCodex({ mode: 'shadow' }))
    expect(await bench.propose()).toMatchObject({ status: 'shadow' })
  })

  it('describes a type as a model sees it, and nothing it does not know', () => {
    expect(bench.desk.describe('GITHUB_LABEL')).toMatchObject({
      inputSchema: { type: 'object', properties: { repo: {} } },
    })
    expect(bench.desk.describe('JIRA_UPDATE')).toBeNull()
  })

  it('lists newest first and pages without gaps', async () => {
    const all = (await listActions(db, { limit: 200 })).map(({ id }) => id)
    const pages: string[] = []
    for (let before: string | undefined; ;) {
      const page = await listActions(db, { limit: 3, ...(before !== undefined && { before }) })
      pages.push(...page.map(({ id }) => id))
      before = page.at(-1)?.id
      if (page.length < 3) break
    }
    expect(pages).toEqual(all)
    expect(await listApprovals(db, { state: 'PENDING', limit: 1 })).toMatchObject([
      { type: 'GITHUB_COMMENT', state: 'PENDING' },
    ])
  })
})
