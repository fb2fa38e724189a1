import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { Bench, type BenchSetup, MortalDatabase, rule, statement } from '../../test/executor-bench.ts'
import type { Database } from '../database/database.ts'
import { topics } from '../kernel/topics.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const context = [{ id: 'pr', tool: 'github.get_pr', required: true }]
const actions = [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 3 }]
const reads = { 'github.get_pr': { text: 'a pull request' }, 'github.search': { text: 'found' } }
/** context, a read, two actions in one answer, a closing word: three model calls */
const setup: BenchSetup = {
  spec: { context, tools: { allow: [{ name: 'github.search' }], actions } },
  reads,
  script: (request) => {
    const answered = request.messages.filter((message) => message.role === 'assistant').length
    if (answered === 0) return { toolCalls: [{ id: 's', name: 'github__search', args: {} }] }
    if (answered === 1) {
      return { toolCalls: ['one', 'two'].map((body) => ({ id: body, name: 'GITHUB_COMMENT', args: { body } })) }
    }
    return { text: 'Done.' }
  },
}
const ruled: BenchSetup = {
  spec: { model: { prefer: ['rules'] }, context, tools: { actions } },
  reads,
  rules: [rule('always', 'true', { do: [{ action: 'GITHUB_COMMENT', args: { body: 'x' } }], summary: 'Said x.' })],
}

async function trips(of: BenchSetup): Promise<number> {
  const bench = await Bench.open(db, of)
  const counted = new MortalDatabase(db)
  await bench.deliver(bench.deps(counted))
  return counted.trips
}

describe.each([
  ['a model', setup, 2, 3],
  ['rules', ruled, 1, 0],
] as const)('a worker that dies in a run by %s', (_, of, actionsExpected, callsExpected) => {
  it.each(['before', 'after'] as const)('%s any of its commits leaves a run that another finishes', async (when) => {
    const count = await trips(of)
    for (let edge = 1; edge <= count; edge += 1) {
      const bench = await Bench.open(db, of)
      const dying = bench.deliver(bench.deps(new MortalDatabase(db, edge, when)))
      await expect(dying).rejects.toThrow(/dead|died/)
      await bench.finish({ ...bench.deps(), owner: 'worker-2' })

      const lost = (await bench.journal()).filter((line) => line.endsWith('LOST')).length
      const { state, actions } = await bench.row()
      const { open, charged, reserved, consumed, tokens } = await bench.ledger()
      expect({
        edge,
        state,
        actions,
        rows: await bench.actions(),
        open,
        charged,
        reserved,
        keys: new Set(bench.proposals.map((proposal) => proposal.actionKey)).size,
        balanced: consumed === tokens,
        audited: (await bench.published(topics.audit)).length,
        transcripts: bench.artifacts.size,
        // One call may be made twice: the one whose answer was not stored. A stored one never is.
        lostMax: lost <= 1,
        repeated: bench.llm.requests.length - callsExpected <= lost,
      }).toEqual({
        edge,
        state: 'COMPLETED',
        actions: actionsExpected,
        rows: actionsExpected,
        open: 0,
        charged: callsExpected + lost,
        reserved: 0,
        keys: actionsExpected,
        balanced: true,
        audited: 1,
        transcripts: 1,
        lostMax: true,
        repeated: true,
      })
    }
  })
})

describe('a worker that dies in the model call', () => {
  it('is charged what the provider had reported, and the call is made again', async () => {
    const dying = new MortalDatabase(db)
    let calls = 0
    const bench = await Bench.open(db, {
      script: async (_, __, { onUsage }) => {
        calls += 1
        if (calls > 1) return { text: 'ok' }
        onUsage?.({ inputNocache: 77 })
        await expect.poll(() => dying.statements.includes('journal.noteUsage')).toBe(true)
        await expect.poll(async () => (await usageOf(bench.id))?.['inputNocache']).toBe(77)
        throw new Error('killed')
      },
    })
    // Killed with the process: what follows does not reach the database.
    const database = {
      query: dying.query.bind(dying),
      transaction: (work: Parameters<Database['transaction']>[0]) =>
        calls > 0 ? Promise.reject(new Error('dead')) : dying.transaction(work),
    } as unknown as Database
    await expect(bench.deliver(bench.deps(database))).rejects.toThrow('dead')
    expect(await bench.ledger()).toMatchObject({ open: 1, charged: 0 })
    await bench.finish()
    expect(await bench.ledger()).toMatchObject({ open: 0, charged: 2, tokens: 77 + 120, reserved: 0 })
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', input_tokens: 177, model_calls: 2 })
    expect((await bench.decisions()).join()).toContain('77 input tokens are charged by estimate')
  })
})

async function usageOf(id: string): Promise<Record<string, unknown> | null> {
  const text = `SELECT usage FROM guild_core.run_steps WHERE invocation_id = $1 AND kind = 'llm'`
  const { rows } = await db.query<{ usage: Record<string, unknown> | null }>(statement('usage', text), [id])
  return rows[0]?.usage ?? null
}

describe('the lease', () => {
  it('is respected while its owner lives: a second worker comes back later', async () => {
    const gate = Promise.withResolvers<void>()
    const bench = await Bench.open(db, {
      script: async () => {
        await gate.promise
        return { text: 'ok' }
      },
    })
    const first = bench.deliver()
    await expect.poll(() => bench.llm.requests.length).toBe(1)
    const nack = await bench.deliver({ ...bench.deps(), owner: 'worker-2' })
    expect(nack?.reason).toContain('RUNNING')
    expect(nack?.delayMs).toBeGreaterThan(10_000)
    gate.resolve()
    expect(await first).toBeNull()
    expect(await bench.row()).toMatchObject({ attempts: 1, lease_epoch: 1 })
  })

  it('is kept by heartbeats through a call that takes longer than it', async () => {
    const bench = await Bench.open(db, {
      options: { leaseMs: 300 },
      script: async () => {
        const until = Date.now() + 900
        await expect.poll(() => Date.now() > until, { timeout: 5_000 }).toBe(true)
        return { text: 'ok' }
      },
    })
    const first = bench.deliver()
    const end = Date.now() + 700
    await expect.poll(() => Date.now() > end, { timeout: 5_000 }).toBe(true)
    expect(await bench.deliver({ ...bench.deps(), owner: 'worker-2' })).not.toBeNull()
    expect(await first).toBeNull()
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', lease_epoch: 1 })
  })

  it('once lost, stops a frozen worker that thaws: one effect, one charge for each call', async () => {
    const gate = Promise.withResolvers<void>()
    const bench = await Bench.open(db, {
      spec: { tools: { actions } },
      script: async (request, call) => {
        if (call === 1) await gate.promise
        const answered = request.messages.some((message) => message.role === 'assistant')
        return answered ? { text: 'Done.' } : { toolCalls: [{ id: '1', name: 'GITHUB_COMMENT', args: {} }] }
      },
    })
    const frozen = bench.deliver()
    await expect.poll(() => bench.llm.requests.length).toBe(1)
    await bench.finish({ ...bench.deps(), owner: 'worker-2' })
    const after = await bench.journal()
    gate.resolve()
    expect(await frozen).toMatchObject({ reason: 'another worker has taken over' })
    expect(await bench.journal()).toEqual(after)
    expect(after).toContain('1 llm a/one LOST')
    expect(await bench.actions()).toBe(1)
    expect(await bench.ledger()).toMatchObject({ open: 0, charged: 3, reserved: 0 })
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', attempts: 2, lease_epoch: 2 })
  })

  it('is given back by a worker that stops, which fails nothing', async () => {
    const stop = new AbortController()
    const bench = await Bench.open(db, {
      script: async (_, call, { signal }) => {
        if (call > 1) return { text: 'ok' }
        stop.abort(new Error('draining'))
        signal.throwIfAborted()
        return {}
      },
    })
    expect(await bench.deliver(bench.deps(), stop.signal)).toMatchObject({ reason: 'the worker stops', delayMs: 0 })
    expect(await bench.row()).toMatchObject({ state: 'ADMITTED', lease_owner: null, failures: 0 })
    expect(await bench.deliver()).toBeNull()
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', attempts: 2, failures: 0 })
  })
})

describe('poison', () => {
  it('that throws at the same step three times is dead, with a dead letter', async () => {
    const bench = await Bench.open(db, {
      script: () => {
        throw new TypeError('a bug')
      },
    })
    expect(await bench.finish()).toBe(3)
    expect(await bench.row()).toMatchObject({
      state: 'DEAD',
      reason: 'POISON',
      attempts: 3,
      reason_detail: '3 attempts ended at step 1: a bug',
    })
    expect(await bench.published(topics.dead)).toMatchObject([
      { group: 'executor', id: bench.id, attempts: 3, body: { journal: `/api/v1/invocations/${bench.id}` } },
    ])
    expect(await bench.deliver()).toBeNull()
  })

  it('is no worker that only stops, however often: deploys kill no run', async () => {
    const bench = await Bench.open(db, {
      script: async (_, call, { signal }) => {
        if (call > 4) return { text: 'ok' }
        stop.abort(new Error('draining'))
        signal.throwIfAborted()
        return {}
      },
    })
    let stop = new AbortController()
    for (let deploy = 1; deploy <= 4; deploy += 1) {
      stop = new AbortController()
      expect(await bench.deliver(bench.deps(), stop.signal)).toMatchObject({ reason: 'the worker stops' })
    }
    expect(await bench.deliver()).toBeNull()
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', attempts: 5, failures: 0 })
  })

  it('that kills its worker three times is not run a fourth time', async () => {
    const bench = await Bench.open(db, setup)
    for (let death = 1; death <= 3; death += 1) {
      await expect(bench.deliver(bench.deps(new MortalDatabase(db, 2)))).rejects.toThrow(/dead|died/)
      await bench.lapse()
    }
    expect(await bench.deliver()).toBeNull()
    expect(await bench.row()).toMatchObject({ state: 'DEAD', reason: 'POISON', attempts: 4 })
    expect(bench.llm.requests).toEqual([])
  })
})
