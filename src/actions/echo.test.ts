import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ActionBench, aCodex, githubTarget, tableOutbox } from '../../test/actions.ts'
import { openTestDatabase } from '../../test/database.ts'
import { anEvent } from '../../test/dispatch.ts'
import { FakeGithub } from '../../test/fake-github.ts'
import type { Database } from '../database/database.ts'
import { Echoes } from './echo.ts'

let db: Database
let github: FakeGithub
let bench: ActionBench
let number = 0
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(async () => db.close())
beforeEach(async () => {
  github = await FakeGithub.open()
  bench = new ActionBench(db)
  await db.query({ name: 'test.calm', text: 'DELETE FROM guild_core.breakers' })
  await bench.newRun()
  number += 1
  return async () => github[Symbol.asyncDispose]()
})

const worker = () => bench.worker(githubTarget(github.url, bench.clock))

/** A comment whose answer was lost: the action is in doubt, the comment is there. */
async function inDoubt() {
  github.faults.push({ kind: 'drop-after-write' })
  const id = await bench.accepted({ args: { repo: 'octo/shop', number, body: 'hello' } })
  await worker().drain(id)
  const comment = github.of('comments')[0]
  if (!comment) throw new Error('the fake wrote nothing')
  return { id, comment }
}

function commentEvent(
  comment: object,
  over: { sender?: string; number?: number; repo?: string; body?: string; source?: string } = {},
) {
  const repo = over.repo ?? 'Octo/Shop'
  const sender = over.sender ?? 'guild-bot'
  const native = {
    repository: { full_name: repo },
    issue: { number: over.number ?? number },
    comment: { ...comment, ...(over.body !== undefined && { body: over.body }) },
  }
  return anEvent({
    type: 'ISSUE_COMMENTED',
    source: over.source ?? 'github',
    payload: { repo, sender, github: native },
  })
}

const confirm = (marker: string, event: ReturnType<typeof commentEvent>, logins: readonly string[] = ['guild-bot']) => {
  const echoes = new Echoes({ outbox: tableOutbox, clock: bench.clock, botLogins: () => logins })
  return db.transaction((tx) => echoes.confirm(tx, { marker, event }))
}

describe('an echo', () => {
  it('settles an action in doubt and names the run it came from, every time it is asked', async () => {
    const { id, comment } = await inDoubt()
    const origin = { invocationId: bench.invocationId, causalRoot: bench.event.id, causalDepth: 1 }
    expect(await confirm(id, commentEvent(comment))).toEqual(origin)
    expect(await confirm(`guild:${id}`, commentEvent(comment))).toEqual(origin)
    expect(await bench.get(id)).toMatchObject({
      state: 'SUCCEEDED',
      confirmed_by: 'echo',
      remote_id: String(comment.id),
    })
    bench.clock.advance(60_000)
    await worker().sweep()
    expect(github.of('comments')).toHaveLength(1)
  })

  it('may be faster than the answer, which then changes nothing', async () => {
    const target = githubTarget(github.url, bench.clock)
    const id = await bench.accepted({ args: { repo: 'octo/shop', number, body: 'hello' } })
    const racing = {
      system: target.system,
      types: target.types,
      probeAfterMs: target.probeAfterMs,
      minIntervalMs: 0,
      render: target.render.bind(target),
      probe: target.probe.bind(target),
      look: target.look.bind(target),
      execute: async (call: Parameters<typeof target.execute>[0], signal: AbortSignal) => {
        const outcome = await target.execute(call, signal)
        expect(await confirm(id, commentEvent(github.of('comments')[0] ?? {}))).not.toBeNull()
        return outcome
      },
    }
    await bench.worker(racing).drain(id)
    expect(await bench.get(id)).toMatchObject({
      state: 'SUCCEEDED',
      confirmed_by: 'echo',
      remote_url: expect.any(String),
    })
  })

  it.each([
    ['an outsider pasted the marker', { sender: 'mallory' }, undefined],
    ['it is about another issue', { number: 9_999 }, undefined],
    ['it is about another repository', { repo: 'mallory/shop' }, undefined],
    ['another source claims it', { source: 'jira' }, undefined],
    ['our login is not known and the words are others', { sender: 'mallory', body: 'see guild' }, []],
  ] as const)('is none when %s', async (_, over, logins) => {
    const { id, comment } = await inDoubt()
    expect(await confirm(id, commentEvent(comment, over), logins)).toBeNull()
    expect(await bench.get(id)).toMatchObject({ state: 'AMBIGUOUS' })
  })

  it('is known by its exact words where our login is not known', async () => {
    const { id, comment } = await inDoubt()
    expect(await confirm(id, commentEvent(comment, { sender: 'app[bot]' }), [])).not.toBeNull()
  })

  it('is none when the id is another than the one we know', async () => {
    const id = await bench.accepted({ args: { repo: 'octo/shop', number, body: 'hello' } })
    await worker().drain(id)
    const comment = github.of('comments')[0] ?? {}
    expect(await confirm(id, commentEvent({ ...comment, id: 1 }))).toBeNull()
    expect(await confirm(id, commentEvent(comment))).not.toBeNull()
  })

  it('is none of what was never sent', async () => {
    await bench.newRun(aCodex({ mode: 'shadow' }))
    const id = await bench.accepted({ args: { repo: 'octo/shop', number, body: 'hello' } })
    await worker().drain(id)
    expect(await confirm(id, commentEvent({ id: 1, body: `<!-- guild:${id} -->` }))).toBeNull()
    expect(await confirm('act_00000000000000000000000000', commentEvent({ id: 1 }))).toBeNull()
  })
})
