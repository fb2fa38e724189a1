import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { githubTarget, HandClock } from '../../../test/actions.ts'
import { FakeGithub } from '../../../test/fake-github.ts'
import { Secret } from '../../kernel/secret.ts'
import type { JsonObject } from '../../kernel/json.ts'
import type { ActionCall } from '../target.ts'
import { githubActionTypes } from './github.ts'

let github: FakeGithub
const clock = new HandClock()
beforeEach(async () => {
  github = await FakeGithub.open()
})
afterEach(async () => github[Symbol.asyncDispose]())

const id = 'act_00000000000000000000000001'
const sha = 'a'.repeat(40)
const signal = AbortSignal.timeout(60_000)
const target = (over = {}) => githubTarget(github.url, clock, over)

function call(type: string, args: JsonObject, over: Partial<ActionCall> = {}): ActionCall {
  const known = githubActionTypes.find((candidate) => candidate.type === type)
  if (!known) throw new Error(`no type ${type}`)
  const parsed = known.args.parse(args)
  const notAfter = new Date(clock.now().getTime() + 40_000)
  const base = { actionId: id, marker: `guild:${id}`, type, agentId: 'sentinel', previousRemoteId: null, notAfter }
  return { ...base, target: known.target(parsed), args: parsed, ...over }
}

const comment = { repo: 'octo/shop', number: 7, body: 'hello' }
const calls: readonly [string, JsonObject, string][] = [
  ['GITHUB_COMMENT', comment, 'octo/shop#7'],
  ['GITHUB_REVIEW', { repo: 'octo/shop', number: 7, event: 'APPROVE', body: 'fine' }, 'octo/shop#7'],
  ['GITHUB_ISSUE', { repo: 'octo/shop', title: 'Leak', body: 'found', labels: ['bug'] }, 'octo/shop'],
  [
    'GITHUB_CHECK_RUN',
    { repo: 'octo/shop', head_sha: sha, name: 'guild', conclusion: 'success', title: 't', summary: 's' },
    `octo/shop@${sha}`,
  ],
]

describe('every action that creates', () => {
  it.each(calls)('%s is sent as it is rendered, and found again by its mark', async (type, args, place) => {
    const action = call(type, args)
    expect(action.target).toBe(place)
    const rendered = await target().render(action)
    expect(github.requests).toEqual([])
    const outcome = await target().execute(action, signal)
    expect(outcome).toMatchObject({ kind: 'done', url: expect.stringContaining(github.url) })
    const write = github.requests.find(({ method }) => method !== 'GET')
    expect(`${write?.method} ${github.url}${write?.path}`).toBe(`${rendered.method} ${rendered.url}`)
    expect(write?.body).toEqual(rendered.body)
    const found = await target().probe(action, clock.now(), signal)
    expect(found).toMatchObject({ kind: 'found', remoteId: outcome.kind === 'done' ? outcome.remoteId : '' })
    expect(await target().probe({ ...action, actionId: 'act_2', marker: 'guild:act_2' }, clock.now(), signal)).toEqual({
      kind: 'absent',
    })
  })

  it.each(calls)('%s is in doubt when the answer is lost', async (type, args) => {
    github.faults.push({ kind: 'drop-after-write' })
    expect(await target().execute(call(type, args), signal)).toMatchObject({ kind: 'unknown' })
    expect(await target().probe(call(type, args), clock.now(), signal)).toMatchObject({ kind: 'found' })
  })

  it.each(calls)('%s is not begun when its lease is about to lapse', async (type, args) => {
    const late = call(type, args, { notAfter: new Date(clock.now().getTime() - 1) })
    expect(await target().execute(late, signal)).toMatchObject({ kind: 'not-done' })
    expect(github.writes).toEqual([])
  })
})

describe('a comment', () => {
  it('replaces the agent’s own earlier one, found by its thread mark and author', async () => {
    const mine = '<!-- guild-thread:sentinel -->'
    github.add('/repos/octo/shop/issues/7/comments', { body: mine }, 'mallory')
    github.add('/repos/octo/shop/issues/7/comments', { body: '<!-- guild-thread:scribe -->' })
    const own = github.add('/repos/octo/shop/issues/7/comments', { body: mine })
    expect(await target().execute(call('GITHUB_COMMENT', comment), signal)).toMatchObject({ remoteId: String(own.id) })
    expect(github.writes).toEqual([`PATCH /repos/octo/shop/issues/comments/${own.id}`])
  })

  it('is posted anew when the earlier one was deleted', async () => {
    const outcome = await target().execute(call('GITHUB_COMMENT', comment, { previousRemoteId: '5' }), signal)
    expect(outcome).toMatchObject({ kind: 'done' })
    expect(github.writes.map((write) => write.split(' ')[0])).toEqual(['PATCH', 'POST'])
  })

  it('of somebody else is never written over when we do not know who we are', async () => {
    github.hasUser = false
    github.add('/repos/octo/shop/issues/7/comments', { body: '<!-- guild-thread:sentinel -->' }, 'mallory')
    await target({ botLogin: null }).execute(call('GITHUB_COMMENT', comment), signal)
    expect(github.writes).toEqual(['POST /repos/octo/shop/issues/7/comments'])
  })

  it('with a copied mark is not taken for ours', async () => {
    github.add('/repos/octo/shop/issues/7/comments', { body: `<!-- guild:${id} -->` }, 'mallory')
    expect(await target().probe(call('GITHUB_COMMENT', comment), clock.now(), signal)).toEqual({ kind: 'absent' })
    github.hasUser = false
    expect(await target({ botLogin: null }).probe(call('GITHUB_COMMENT', comment), clock.now(), signal)).toEqual({
      kind: 'absent',
    })
  })

  it('asks GitHub who we are when it was not told', async () => {
    github.add('/repos/octo/shop/issues/7/comments', { body: '<!-- guild-thread:sentinel -->' })
    await target({ botLogin: null }).execute(call('GITHUB_COMMENT', comment), signal)
    expect(github.writes[0]).toMatch(/^PATCH/)
  })

  it('is looked for on every page', async () => {
    for (let n = 0; n < 250; n += 1) github.add('/repos/octo/shop/issues/7/comments', { body: `n${n}` }, 'ada')
    await target().execute(call('GITHUB_COMMENT', comment, { previousRemoteId: null }), signal)
    expect(await target().probe(call('GITHUB_COMMENT', comment), clock.now(), signal)).toMatchObject({ kind: 'found' })
  })

  it('on an issue that is gone is refused', async () => {
    const outcome = await target().execute(call('GITHUB_COMMENT', { ...comment, repo: 'gone/shop' }), signal)
    expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('404') })
  })

  it('that GitHub cannot update just now may be tried again', async () => {
    const own = github.add('/repos/octo/shop/issues/7/comments', { body: 'x' })
    github.faults.push({ kind: 'answer', status: 502 })
    const outcome = await target().execute(
      call('GITHUB_COMMENT', comment, { previousRemoteId: String(own.id) }),
      signal,
    )
    expect(outcome).toMatchObject({ kind: 'not-done', rateLimited: false })
  })
})

describe('labels', () => {
  const args = { repo: 'octo/shop', number: 7, add: ['bug'], remove: ['stale'] }

  it('are added and removed, and one that was not there is no failure', async () => {
    expect(await target().probe(call('GITHUB_LABEL', args), clock.now(), signal)).toEqual({ kind: 'absent' })
    expect(await target().execute(call('GITHUB_LABEL', args), signal)).toMatchObject({ kind: 'done' })
    expect(github.writes).toEqual([
      'POST /repos/octo/shop/issues/7/labels',
      'DELETE /repos/octo/shop/issues/7/labels/stale',
    ])
    expect(await target().probe(call('GITHUB_LABEL', args), clock.now(), signal)).toMatchObject({ kind: 'found' })
  })

  it('may be set again after an answer that was lost', async () => {
    github.faults.push({ kind: 'drop-after-write' })
    expect(await target().execute(call('GITHUB_LABEL', args), signal)).toMatchObject({ kind: 'not-done' })
  })

  it('must be named', () => {
    expect(() => call('GITHUB_LABEL', { repo: 'octo/shop', number: 7 })).toThrow(/at least one label/)
  })
})

describe('the client', () => {
  it('asks for the token once more after a 401, because it may have been rotated', async () => {
    let asked = 0
    const token = async () => new Secret(`token-${(asked += 1)}`)
    github.faults.push({ kind: 'answer', status: 401, message: 'Bad credentials' })
    expect(await target({ token }).execute(call('GITHUB_ISSUE', calls[2]?.[1] ?? {}), signal)).toMatchObject({
      kind: 'done',
    })
    expect(new Set(github.requests.map(({ authorization }) => authorization)).size).toBe(2)
  })

  it('does not repeat anything by itself', async () => {
    github.faults.push({ kind: 'answer', status: 500 }, { kind: 'answer', status: 500 })
    await target().execute(call('GITHUB_ISSUE', calls[2]?.[1] ?? {}), signal)
    expect(github.writes).toHaveLength(1)
  })

  it('follows a renamed repository with the same method, and says where it went', async () => {
    github.faults.push({ kind: 'answer', status: 307, headers: { location: `${github.url}/repos/octo/store/issues` } })
    const outcome = await target().execute(call('GITHUB_ISSUE', calls[2]?.[1] ?? {}), signal)
    expect(outcome).toMatchObject({ kind: 'done', detail: { movedTo: `${github.url}/repos/octo/store/issues` } })
    expect(github.writes).toEqual(['POST /repos/octo/shop/issues', 'POST /repos/octo/store/issues'])
  })

  it('does not take the token to another host', async () => {
    github.faults.push({ kind: 'answer', status: 307, headers: { location: 'http://127.0.0.1:9/steal' } })
    const outcome = await target().execute(call('GITHUB_ISSUE', calls[2]?.[1] ?? {}), signal)
    expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('another host') })
  })

  it('is certain that nothing was done when nobody listens', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    const outcome = await githubTarget(`http://127.0.0.1:${port}`, clock).execute(
      call('GITHUB_ISSUE', calls[2]?.[1] ?? {}),
      signal,
    )
    expect(outcome).toMatchObject({ kind: 'not-done', reason: expect.stringContaining('ECONNREFUSED') })
  })

  it('is in doubt when no answer comes in time', async () => {
    const server = createServer(() => undefined).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const outcome = await githubTarget(url, clock, { timeoutMs: 100 }).execute(
      call('GITHUB_ISSUE', calls[2]?.[1] ?? {}),
      signal,
    )
    expect(outcome).toMatchObject({ kind: 'unknown', reason: expect.stringContaining('timeout') })
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('paces api.github.com and nobody else', () => {
    expect(githubTarget('https://api.github.com', clock).minIntervalMs).toBe(1_000)
    expect(githubTarget('https://ghe.example.org/api/v3', clock).minIntervalMs).toBe(0)
  })
})
