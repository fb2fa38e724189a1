import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Undo } from '../src/actions/undo.ts'
import type { Database } from '../src/database/database.ts'
import { systemClock } from '../src/kernel/clock.ts'
import type { JsonObject } from '../src/kernel/json.ts'
import { topics } from '../src/kernel/topics.ts'
import { Secret } from '../src/kernel/secret.ts'
import { type Sandbox, sandboxLogin, sandboxToken, startSandbox } from '../src/sandbox/sandbox.ts'
import { listApprovals } from '../src/actions/views.ts'
import { aCodex, ActionBench, githubTarget, sent, tableOutbox } from './actions.ts'
import { openTestDatabase } from './database.ts'

const sha = 'a'.repeat(40)
const types = ['GITHUB_COMMENT', 'GITHUB_REVIEW', 'GITHUB_LABEL', 'GITHUB_CHECK_RUN', 'GITHUB_ISSUE']
const ada = { by: 'ada', channel: 'cli' } as const
let db: Database
let sandbox: Sandbox
let bench: ActionBench
let undo: Undo
let number = 1
beforeAll(async () => {
  db = await openTestDatabase()
  sandbox = await startSandbox({ clock: systemClock })
  const issues = Array.from({ length: 30 }, (_, n) => ({
    number: n + 2,
    title: `issue ${n}`,
    user: 'ada',
    labels: ['stale'],
  }))
  const pulls = [{ number: 1, title: 'Mend the till', user: 'ada', head: { ref: 'till', sha } }]
  const commits = [{ sha, message: 'Mend the till', author: { name: 'Ada' } }]
  sandbox.github.plant({ repositories: [{ full_name: 'octo/shop', commits, pulls, issues }] })
})
afterAll(async () => {
  await sandbox.close()
  await db.close()
})
beforeEach(async () => {
  number += 1
  bench = new ActionBench(db)
  await bench.newRun(aCodex({ grants: types.map((type) => ({ type })) }))
  undo = new Undo({
    approvals: bench.approvals,
    typeOf: (type) => bench.desk.typeOf(type)?.type ?? null,
    outbox: tableOutbox,
    codex: { current: () => bench.codex },
    clock: bench.clock,
    live: [],
  })
})

const target = () =>
  githubTarget(sandbox.url, bench.clock, { token: async () => new Secret(sandboxToken), botLogin: sandboxLogin })
const worker = () => bench.worker(target())
const headers = { authorization: `Bearer ${sandboxToken}`, 'content-type': 'application/json' }

async function github<T>(path: string, change?: { method: string; body: object }): Promise<T> {
  const more = change && { method: change.method, body: JSON.stringify(change.body) }
  const response = await fetch(`${sandbox.url}/repos/octo/shop${path}`, { headers, ...more })
  return (await response.json()) as T // the test says what it expects to read
}

async function done(type: string, args: JsonObject): Promise<string> {
  const id = await bench.accepted({ type, args: { repo: 'octo/shop', ...args } })
  await worker().drain(id)
  expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED' })
  return id
}

async function takeBack(id: string): Promise<string> {
  const { undoId } = await undo.undo(db, id, ada)
  await worker().drain(undoId ?? '')
  return undoId ?? ''
}

const labels = async () => (await github<{ name: string }[]>(`/issues/${number}/labels`)).map(({ name }) => name)
const comments = () => github<{ body: string }[]>(`/issues/${number}/comments`)

describe('taking back', () => {
  it('brings labels to where they were, and leaves alone what was there before', async () => {
    await github(`/issues/${number}/labels`, { method: 'POST', body: { labels: ['kept'] } })
    const id = await done('GITHUB_LABEL', { number, add: ['bug', 'kept'], remove: ['stale', 'never'] })
    expect(await labels()).toEqual(['kept', 'bug'])
    const undoId = await takeBack(id)
    expect((await labels()).toSorted()).toEqual(['kept', 'stale'])
    expect(await bench.get(id)).toMatchObject({ state: 'UNDONE', undos: [{ id: undoId, state: 'SUCCEEDED' }] })
    expect(await sent(db, topics.audit)).toContainEqual(
      expect.objectContaining({ event_type: 'ACTION_PROPOSED', action_id: undoId, actor: 'person:ada' }),
    )
  })

  it('deletes a comment; one that had replaced earlier words gets those back', async () => {
    const first = await done('GITHUB_COMMENT', { number, body: 'first words' })
    const second = await done('GITHUB_COMMENT', { number, body: 'second words' })
    await takeBack(second)
    expect(await comments()).toMatchObject([{ body: expect.stringContaining('first words') }])
    await takeBack(first)
    expect(await comments()).toHaveLength(0)
  })

  it('closes an issue that it had opened, and withdraws a check', async () => {
    const issue = await done('GITHUB_ISSUE', { title: `Leak ${number}`, body: 'found' })
    const { remote_url: url } = await bench.get(issue)
    await takeBack(issue)
    expect(await github(`/issues/${url?.split('/').at(-1)}`)).toMatchObject({ state: 'closed' })

    const check = await done('GITHUB_CHECK_RUN', {
      head_sha: sha,
      name: 'guild',
      conclusion: 'failure',
      title: 't',
      summary: 's',
    })
    const { remote_id: run } = await bench.get(check)
    await takeBack(check)
    expect(await github(`/check-runs/${run}`)).toMatchObject({ conclusion: 'neutral', output: { title: 'Withdrawn' } })
  })

  it('asked for twice, even at once, is done once', async () => {
    const id = await done('GITHUB_COMMENT', { number, body: 'once' })
    const [a, b] = await Promise.all([undo.undo(db, id, ada), undo.undo(db, id, ada)])
    expect(a.undoId).toBe(b.undoId)
    await worker().drain(a.undoId ?? '')
    expect(await undo.undo(db, id, ada)).toMatchObject({ undoId: a.undoId, reason: 'it was taken back before' })
    expect((await bench.get(id)).undos).toHaveLength(1)
  })

  it('finds by looking that it was done, when the answer was lost', async () => {
    const id = await done('GITHUB_COMMENT', { number, body: 'lost' })
    sandbox.github.fault({ match: 'DELETE /repos/octo/shop/issues/comments/*', kind: 'reset-after-write' })
    const undoId = await takeBack(id)
    bench.clock.advance(31_000)
    await worker().sweep()
    expect(await bench.get(undoId)).toMatchObject({ state: 'SUCCEEDED' })
    expect(await bench.get(id)).toMatchObject({ state: 'UNDONE' })
  })

  it('asks a person first where somebody has edited it since, and again when it changes once more', async () => {
    const id = await done('GITHUB_COMMENT', { number, body: 'as we said' })
    const { remote_id: comment } = await bench.get(id)
    const edit = (body: string) => github(`/issues/comments/${comment}`, { method: 'PATCH', body: { body } })
    await edit('a person improved this')
    const undoId = await takeBack(id)
    expect(await bench.get(undoId)).toMatchObject({
      state: 'PROPOSED',
      reason: expect.stringContaining('a person improved this'),
    })
    expect(await comments()).toHaveLength(1)

    await edit('and once more')
    await decide(undoId)
    await worker().drain(undoId)
    expect(await bench.get(undoId)).toMatchObject({
      state: 'PROPOSED',
      reason: expect.stringContaining('and once more'),
    })
    expect(await comments()).toHaveLength(1)

    await decide(undoId)
    await worker().drain(undoId)
    expect(await bench.get(undoId)).toMatchObject({ state: 'SUCCEEDED' })
    expect(await comments()).toHaveLength(0)
  })

  it('says of a review that it cannot be taken back', async () => {
    const id = await done('GITHUB_REVIEW', { number: 1, event: 'COMMENT', body: `fine ${number}` })
    await expect(undo.undo(db, id, ada)).rejects.toMatchObject({ code: 'GUILD_ACTION_PERMANENT' })
  })

  it('stops what was not sent yet', async () => {
    const id = await bench.accepted({ args: { repo: 'octo/shop', number, body: 'not yet' } })
    expect(await undo.undo(db, id, ada)).toMatchObject({ result: 'stopped', undoId: null })
    await worker().drain(id)
    expect(await bench.get(id)).toMatchObject({ state: 'DENIED', reason: expect.stringContaining('stopped by ada') })
    expect(await comments()).toHaveLength(0)
  })

  it('takes back a whole run, newest first', async () => {
    const one = await done('GITHUB_LABEL', { number, add: ['one'] })
    const two = await done('GITHUB_LABEL', { number, add: ['two'] })
    const three = await done('GITHUB_REVIEW', { number: 1, event: 'COMMENT', body: `also ${number}` })
    const results = await undo.undoMany(db, { run: bench.invocationId }, ada)
    expect(results.map(({ actionId, result }) => [actionId, result])).toEqual([
      [three, 'refused'],
      [two, 'queued'],
      [one, 'queued'],
    ])
    await worker().drain(results.at(-1)?.undoId ?? '')
    expect(await labels()).toEqual(['stale'])
    await expect(undo.undoMany(db, {}, ada)).rejects.toMatchObject({ code: 'GUILD_REQUEST_INVALID' })
  })

  it('sends nothing when the connector is in shadow by then, and when a policy denies it', async () => {
    const id = await done('GITHUB_LABEL', { number, add: ['bug'] })
    const live = bench.codex
    bench.codex = aCodex({ mode: 'shadow' })
    const shadowed = await undo.undo(db, id, ada)
    expect(shadowed).toMatchObject({ result: 'shadow' })
    await worker().drain(shadowed.undoId ?? '')
    expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED' })

    const place = { file: 'policies/org.yaml', line: 1 }
    const frozen = { place, name: 'freeze', action: '*', when: null, reason: 'nothing changes today' }
    bench.codex = { ...live, denials: [frozen] }
    const denied = await takeBack(id)
    expect(await bench.get(denied)).toMatchObject({
      state: 'DENIED',
      reason: expect.stringContaining('nothing changes today'),
    })
    expect(await labels()).toContain('bug')
  })
})

async function decide(id: string): Promise<void> {
  const waiting = await listApprovals(db, { state: 'PENDING', limit: 200 })
  const argsHash = waiting.find(({ action_id }) => action_id === id)?.approval_hash ?? ''
  bench.clock.advance(1)
  await bench.approvals.approve(db, id, { by: 'grace', channel: 'cli', argsHash })
}
