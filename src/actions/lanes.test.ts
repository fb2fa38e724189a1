import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { aCodex, ActionBench, githubTarget, sent } from '../../test/actions.ts'
import { openTestDatabase } from '../../test/database.ts'
import { FakeGithub } from '../../test/fake-github.ts'
import type { Database, Queryable } from '../database/database.ts'
import { topics } from '../kernel/topics.ts'
import type { Target } from './target.ts'

let db: Database
let github: FakeGithub
let bench: ActionBench
let number = 100
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(async () => db.close())
beforeEach(async () => {
  github = await FakeGithub.open()
  bench = new ActionBench(db)
  await db.query({ name: 'test.calm', text: 'DELETE FROM guild_core.breakers' })
  await db.query({
    name: 'test.done',
    text: `UPDATE guild_core.actions SET state = 'FAILED' WHERE finished_at IS NULL`,
  })
  await bench.newRun()
  number += 1
  return async () => github[Symbol.asyncDispose]()
})

const target = (over = {}) => githubTarget(github.url, bench.clock, over)
const say = (body: string, on = number) => bench.accepted({ args: { repo: 'octo/shop', number: on, body } })
const comments = () => github.of('comments')

describe('carrying out', () => {
  it('comments, with the marks at the end, and records the call without its token', async () => {
    const id = await say('Looks good')
    await bench.worker(target()).drain(id)
    const action = await bench.get(id)
    expect(comments()).toMatchObject([{ body: `Looks good\n\n<!-- guild-thread:sentinel -->\n<!-- guild:${id} -->` }])
    expect(action).toMatchObject({
      state: 'SUCCEEDED',
      confirmed_by: 'response',
      attempts: 1,
      remote_id: String(comments()[0]?.id),
    })
    expect(action.rendered).toMatchObject({ method: 'POST', headers: { authorization: '[redacted]' } })
    expect(github.requests.at(-1)?.authorization).toBe('Bearer t0p-secret')
    expect(JSON.stringify(action)).not.toContain('t0p-secret')
    expect(await sent(db, topics.audit)).toContainEqual(
      expect.objectContaining({ event_type: 'ACTION_EXECUTED', action_id: id, result: 'SUCCESS' }),
    )
  })

  it('updates the one comment of an agent instead of posting the next', async () => {
    const worker = bench.worker(target())
    for (const body of ['first', 'second', 'third']) await worker.drain(await say(body))
    expect(comments()).toMatchObject([{ body: expect.stringContaining('third') }])
    expect(github.writes.map((write) => write.split(' ')[0])).toEqual(['POST', 'PATCH', 'PATCH'])
  })

  it('sends nothing in shadow, and keeps the exact call', async () => {
    await bench.newRun(aCodex({ mode: 'shadow' }))
    const id = await say('quiet')
    await bench.worker(target()).drain(id)
    expect(github.requests).toEqual([])
    const url = `${github.url}/repos/octo/shop/issues/${number}/comments`
    expect(await bench.get(id)).toMatchObject({
      state: 'SHADOWED',
      rendered: { method: 'POST', url, body: { body: expect.stringContaining('quiet') } },
    })
  })

  it('carries out in live what was only rendered in shadow before', async () => {
    await bench.newRun(aCodex({ mode: 'shadow' }))
    const shadowed = await say('worth saying')
    expect(await bench.propose({ args: { repo: 'octo/shop', number, body: 'worth saying' } })).toMatchObject({
      status: 'duplicate',
    })
    await bench.worker(target()).drain(shadowed)
    await bench.newRun(aCodex({ mode: 'live' }))
    const id = await say('worth saying')
    expect(id).not.toBe(shadowed)
    await bench.worker(target()).drain(id)
    expect(comments()).toMatchObject([{ body: expect.stringContaining('worth saying') }])
  })

  it('sends nothing in a dry run', async () => {
    const id = await say('dry')
    await bench.worker(target(), { dryRun: true }).drain(id)
    expect(github.requests).toEqual([])
    expect(await bench.get(id)).toMatchObject({ state: 'SHADOWED' })
  })

  it('keeps shadow what was proposed in shadow, though the connector went live in between', async () => {
    await bench.newRun(aCodex({ mode: 'shadow' }))
    const id = await say('quiet')
    bench.codex = aCodex({ mode: 'live' })
    await bench.worker(target()).drain(id)
    expect(github.requests).toEqual([])
  })

  it('does not send what policy forbids by now', async () => {
    const id = await say('old idea')
    const freeze = {
      name: 'freeze',
      place: { file: 'policies/org.yaml', line: 1 },
      action: '*',
      when: null,
      reason: 'frozen',
    }
    bench.codex = aCodex({ denials: [freeze] })
    await bench.worker(target()).drain(id)
    expect(github.requests).toEqual([])
    expect(await bench.get(id)).toMatchObject({ state: 'DENIED', reason: expect.stringContaining('frozen') })
  })

  it('does not send what comes too late', async () => {
    const id = await say('please review now')
    bench.clock.advance(24 * 3_600_000)
    await bench.worker(target()).drain(id)
    expect(github.requests).toEqual([])
    expect(await bench.get(id)).toMatchObject({ state: 'EXPIRED' })
  })
})

describe('doubt', () => {
  it('finds by looking what was written though the answer was lost, and does not write it again', async () => {
    github.faults.push({ kind: 'drop-after-write' })
    const id = await say('hello')
    const worker = bench.worker(target())
    await worker.drain(id)
    expect(await bench.get(id)).toMatchObject({ state: 'AMBIGUOUS', attempts: 1 })
    await worker.sweep()
    expect(await bench.get(id)).toMatchObject({ state: 'AMBIGUOUS', probes: 0 })
    bench.clock.advance(2_000)
    await worker.sweep()
    expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED', confirmed_by: 'probe', attempts: 1 })
    expect(comments()).toHaveLength(1)
  })

  it('calls again only when what was lost stays absent after the last lag', async () => {
    github.faults.push({ kind: 'drop-before-write' })
    const id = await say('hello')
    const worker = bench.worker(target())
    await worker.drain(id)
    // Begun up to 10 s after its intent, worked on for up to 10 s by GitHub, and visible some time later.
    for (const ms of [2_000, 8_000, 13_999]) {
      bench.clock.advance(ms)
      await worker.sweep()
      expect(comments()).toHaveLength(0)
    }
    bench.clock.advance(1)
    await worker.sweep()
    expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED', attempts: 2, confirmed_by: 'response' })
    expect(comments()).toHaveLength(1)
  })

  it('is left to a person when looking gives no answer either', async () => {
    const id = await say('hello')
    const blind: Target = {
      ...shape(target()),
      execute: async () => ({ kind: 'unknown', reason: 'reset' }),
      probe: async () => ({ kind: 'unknown', reason: '502', retryAfterMs: 0 }),
    }
    const worker = bench.worker(blind)
    await worker.drain(id)
    for (let n = 0; n < 40; n += 1) {
      bench.clock.advance(15 * 60_000)
      await worker.sweep()
    }
    expect(await bench.get(id)).toMatchObject({ state: 'PARKED' })
    await bench.approvals.settle(db, id, { by: 'ada', channel: 'api', verdict: 'happened' })
    expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED', confirmed_by: 'person' })
  })

  it('leaves exactly one comment, wherever the worker dies', async () => {
    let survived = false
    for (let edge = 1; !survived && edge < 100; edge += 1) {
      number += 1
      const before = comments().length
      const id = await say(`edge ${edge}`)
      const mortal = new Mortal(edge)
      await bench
        .worker(mortal.target(target()), { db: mortal.database(db), owner: 'mortal' })
        .drain(id)
        .catch(() => undefined)
      survived = !mortal.dead
      for (let n = 0; n < 6; n += 1) {
        bench.clock.advance(61_000)
        await bench.worker(target(), { owner: 'heir' }).sweep()
      }
      expect(await bench.get(id), `edge ${edge}`).toMatchObject({ state: 'SUCCEEDED' })
      expect(comments().length - before, `edge ${edge}`).toBe(1)
    }
    expect(survived).toBe(true)
  })

  it('does not let a worker that wakes up late send or record anything', async () => {
    const id = await say('slow')
    const frozen = target()
    const slow: Target = {
      ...shape(frozen),
      async execute(call, signal) {
        bench.clock.advance(200_000)
        await bench.worker(target(), { owner: 'heir' }).sweep()
        return frozen.execute(call, signal)
      },
    }
    await bench.worker(slow, { owner: 'frozen' }).drain(id)
    for (let n = 0; n < 4; n += 1) {
      bench.clock.advance(61_000)
      await bench.worker(target(), { owner: 'heir' }).sweep()
    }
    expect(comments()).toHaveLength(1)
    expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED' })
  })
})

describe('waiting', () => {
  it('waits as long as GitHub asks, then sends once', async () => {
    github.faults.push({
      kind: 'answer',
      status: 403,
      headers: { 'retry-after': '90' },
      message: 'You have exceeded a secondary rate limit',
    })
    const id = await say('hello')
    const worker = bench.worker(target())
    await worker.drain(id)
    expect(await bench.get(id)).toMatchObject({ state: 'RETRY', reason: expect.stringContaining('403') })
    bench.clock.advance(89_000)
    await worker.sweep()
    expect(comments()).toHaveLength(0)
    bench.clock.advance(2_000)
    await worker.sweep()
    expect(comments()).toHaveLength(1)
  })

  it('fails at once on a refusal, and the idea may be had again', async () => {
    github.faults.push({ kind: 'answer', status: 403, message: 'Resource not accessible by personal access token' })
    const id = await say('hello')
    await bench.worker(target()).drain(id)
    expect(await bench.get(id)).toMatchObject({ state: 'FAILED', reason: expect.stringContaining('permission') })
    expect(await bench.propose({ args: { repo: 'octo/shop', number, body: 'hello' } })).toMatchObject({
      status: 'queued',
    })
  })

  it('opens the breaker after five failures, sends one trial after its wait, and closes it again', async () => {
    let up = false
    let calls = 0
    const flaky: Target = {
      ...shape(target()),
      async execute(call, signal) {
        calls += 1
        return up
          ? target().execute(call, signal)
          : { kind: 'not-done', reason: 'ECONNREFUSED', retryAfterMs: 0, rateLimited: false }
      },
    }
    const ids: string[] = []
    for (let n = 0; n < 8; n += 1) ids.push(await say('x', (number += 1)))
    const worker = bench.worker(flaky)
    for (const id of ids) await worker.drain(id)
    expect(calls).toBe(5)
    expect(await bench.get(ids[4] ?? '')).toMatchObject({
      decisions: expect.arrayContaining([expect.objectContaining({ outcome: 'BREAKER_OPEN' })]),
    })
    for (let n = 0; n < 3; n += 1) await worker.drain(ids[6] ?? '')
    expect((await bench.get(ids[6] ?? '')).decisions.filter(({ outcome }) => outcome === 'WAITING')).toHaveLength(1)
    bench.clock.advance(30_001)
    await worker.sweep()
    expect(calls).toBe(6)
    up = true
    bench.clock.advance(60_001)
    for (let n = 0; n < 4; n += 1) {
      await worker.sweep()
      bench.clock.advance(6_000)
    }
    for (const id of ids) expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED' })
  })

  it('paces writes over all workers of a connector', async () => {
    const paced = target({ minIntervalMs: 1_000 })
    const started = bench.clock.now().getTime()
    const ids: string[] = []
    for (let n = 0; n < 4; n += 1) ids.push(await say('x', (number += 1)))
    for (const [n, id] of ids.entries()) await bench.worker(paced, { owner: `w${n}` }).drain(id)
    const times = await Promise.all(ids.map(async (id) => (await bench.get(id)).sent_at?.getTime() ?? 0))
    expect(times.map((time) => time - started)).toEqual([0, 1_000, 2_000, 3_000])
  })

  it('finds what no message announced', async () => {
    const id = await say('lost')
    const worker = bench.worker(target())
    await worker.sweep()
    expect(comments()).toHaveLength(0)
    bench.clock.advance(5_001)
    await worker.sweep()
    expect(await bench.get(id)).toMatchObject({ state: 'SUCCEEDED' })
  })
})

describe('order', () => {
  it('keeps the order of a target and one call at a time, with two workers', async () => {
    const ids: string[] = []
    for (let n = 0; n < 12; n += 1) ids.push(await say(`word ${n}.`))
    const workers = [bench.worker(target(), { owner: 'a' }), bench.worker(target(), { owner: 'b' })]
    await Promise.all(ids.flatMap((id) => workers.map((worker) => worker.drain(id))))
    const bodies = github.requests.filter(({ method }) => method !== 'GET').map(({ body }) => JSON.stringify(body))
    expect(bodies.map((body) => /word (\d+)\./.exec(body)?.[1])).toEqual(ids.map((_, n) => String(n)))
    expect(github.writesAtOnceMax).toBe(1)
    expect(comments()).toHaveLength(1)
  })

  it('does not let an action pass the one before it, that waits', async () => {
    github.faults.push({ kind: 'answer', status: 503, headers: { 'retry-after': '10' } })
    const first = await say('one')
    const second = await say('two')
    const worker = bench.worker(target())
    await worker.drain(first)
    await worker.drain(second)
    expect(comments()).toHaveLength(0)
    bench.clock.advance(10_001)
    await worker.sweep()
    expect(await bench.get(second)).toMatchObject({ state: 'SUCCEEDED' })
    expect(comments()).toMatchObject([{ body: expect.stringContaining('two') }])
  })
})

/** A class's methods live on its prototype, which a spread does not copy. */
function shape(target: Target): Target {
  const { system, types, probeAfterMs, minIntervalMs } = target
  return {
    system,
    types,
    probeAfterMs,
    minIntervalMs,
    render: (call) => target.render(call),
    execute: (call, signal) => target.execute(call, signal),
    probe: (call, sentAt, signal) => target.probe(call, sentAt, signal),
    look: (call, signal) => target.look(call, signal),
  }
}

/** A process that dies at its n-th edge: before or after any statement, commit or call; nothing it does counts after that. */
class Mortal {
  readonly #dieAt: number
  #edges = 0
  dead = false

  constructor(dieAt: number) {
    this.#dieAt = dieAt
  }

  #edge(): void {
    this.#edges += 1
    if (this.#edges >= this.#dieAt) this.dead = true
    if (this.dead) throw new Error('killed')
  }

  async #around<T>(work: () => Promise<T>): Promise<T> {
    this.#edge()
    const result = await work()
    this.#edge()
    return result
  }

  database(real: Database): Database {
    const query: Queryable['query'] = (statement, params) => this.#around(() => real.query(statement, params))
    return {
      kind: real.kind,
      query,
      transaction: (work) => this.#around(() => real.transaction((tx) => this.#around(() => work(tx)))),
      listen: (channel, onNotify) => real.listen(channel, onNotify),
      close: () => real.close(),
      [Symbol.asyncDispose]: () => real.close(),
    }
  }

  target(real: Target): Target {
    return {
      ...shape(real),
      execute: (call, signal) => this.#around(() => real.execute(call, signal)),
      probe: (call, sentAt, signal) => this.#around(() => real.probe(call, sentAt, signal)),
    }
  }
}
