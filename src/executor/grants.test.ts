import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Bench, statement } from '../../test/executor-bench.ts'
import { openTestDatabase } from '../../test/database.ts'
import { policy as policySchema } from '../codex/kinds.ts'
import type { Database } from '../database/database.ts'
import { systemClock } from '../kernel/clock.ts'
import { verifyLedger } from '../ledger/verify-ledger.ts'
import { type GrantRequest, grant } from '../processes/grants.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const search = { toolCalls: [{ id: 's', name: 'github__search', args: {} }] }
const allow = { tools: { allow: [{ name: 'github.search' }] } }

describe('a run that stops at its budget', () => {
  it('lands with a summary and its actions, and a grant lets it go on from its journal', async () => {
    const bench = await Bench.open(db, {
      spec: { ...allow, limits: { tokensPerInvocation: 9_000, landingReserve: 4_000 } },
      reads: { 'github.search': { text: 'found' } },
      script: (request, call) => {
        if (request.tools.length === 0) return { text: 'Landed: half done.', usage: { inputNocache: 900 } }
        return call === 1 ? { ...search, usage: { inputNocache: 6_000 } } : { text: 'All done.' }
      },
    })
    await bench.finish()
    expect(await bench.row()).toMatchObject({ state: 'STOPPED', reason: 'BUDGET_RUN', summary: 'Landed: half done.' })
    const before = await bench.journal()

    const answer = await given(bench, { tokens: 20_000, key: 'k1' })
    expect(answer).toMatchObject({ resumed: bench.id })
    expect(await given(bench, { tokens: 20_000, key: 'k1' }).catch((error: unknown) => error)).toMatchObject({
      raised: [],
      resumed: null,
    })
    expect(await bench.row()).toMatchObject({ state: 'ADMITTED', reason: null, granted_tokens: 20_000 })

    await bench.finish()
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', summary: 'All done.', reason: null })
    const after = await bench.journal()
    expect(after.slice(0, before.length)).toEqual(before)
    const last = bench.llm.requests.at(-1)
    const texts = JSON.stringify(last?.messages)
    expect(texts).toContain('A person has granted it more')
    expect(texts).not.toContain('half done')
    expect(
      (await bench.published('guild.audit.log')).filter((entry) => entry['event_type'] === 'AGENT_INVOCATION'),
    ).toHaveLength(2)
    expect((await verifyLedger(db)).problems).toEqual([])
  })

  it('goes on with what it is granted while it runs: nobody waits until it has stopped', async () => {
    const bench = await Bench.open(db, {
      spec: { ...allow, limits: { tokensPerInvocation: 9_000, landingReserve: 4_000 } },
      reads: {
        'github.search': async () => {
          await given(bench, { tokens: 20_000, key: 'early' })
          return { text: 'found' }
        },
      },
      script: (request, call) => {
        if (request.tools.length === 0) return { text: 'Landed: half done.', usage: { inputNocache: 900 } }
        return call === 1 ? { ...search, usage: { inputNocache: 6_000 } } : { text: 'All done.' }
      },
    })
    await bench.finish()
    expect(await bench.row()).toMatchObject({ state: 'COMPLETED', summary: 'All done.', granted_tokens: 20_000 })
  })

  it('is not resumed by a grant when something else ended it, and no grant passes ten times a limit', async () => {
    const bench = await Bench.open(db, { script: () => ({ text: 'Done.' }) })
    await bench.finish()
    await expect(given(bench, { tokens: 10, key: 'a' })).rejects.toMatchObject({ code: 'GUILD_GRANT_REFUSED' })
    const other = await Bench.open(db, { spec: { limits: { tokensPerInvocation: 20 } } })
    await other.finish()
    await expect(given(other, { tokens: 201, key: 'a' })).rejects.toMatchObject({ code: 'GUILD_GRANT_REFUSED' })
    expect(await other.row()).toMatchObject({ state: 'STOPPED', granted_tokens: 0 })
  })
})

describe('the cost of a causal tree', () => {
  it('is shared by its runs, stops the next one with CAUSAL_DEPTH, and says that it is the tree', async () => {
    const spec = { limits: { causal: { maxDepth: 4, maxCostPerTree: 0.02 }, landingReserve: 0 } }
    const script = () => ({ text: 'Done.', usage: { inputNocache: 16_000 } })
    const first = await Bench.open(db, { spec, script })
    const second = await Bench.open(db, { spec, script })
    await inTreeOf(first, second)
    await first.finish()
    await second.finish()
    expect(await first.row()).toMatchObject({ state: 'COMPLETED' })
    expect(await second.row()).toMatchObject({ state: 'STOPPED', reason: 'CAUSAL_DEPTH' })
    expect(String((await second.row())['reason_detail'])).toContain(`the cost of the causal tree of ${first.eventId}`)
  })
})

describe('degradations', () => {
  const policies = [
    policySchema.parse({
      apiVersion: 'guild/v1',
      kind: 'Policy',
      metadata: { name: 'save' },
      spec: {
        budget: { tokens: { monthly: 100_000 } },
        degradations: { yellow: ['smaller-model'], orange: ['ask'], red: ['rules-only'] },
      },
    }),
  ]
  const only = policySchema.parse({
    apiVersion: 'guild/v1',
    kind: 'Policy',
    metadata: { name: 'only' },
    spec: { budget: { tokens: { monthly: 100_000 } }, degradations: { yellow: ['only-high'] } },
  })
  const actions = [{ type: 'GITHUB_COMMENT', autonomy: 2 }]
  const act = { toolCalls: [{ id: 'a', name: 'GITHUB_COMMENT', args: {} }] }
  const spec = { model: { prefer: ['a/one', 'b/two'] }, tools: { actions }, limits: { tokensPerInvocation: 1_000_000 } }

  it('of a level that a run finds, or passes, change its next call, are told to the model and are on record', async () => {
    const bench = await Bench.open(db, {
      policies,
      spec,
      script: (_, call) => {
        if (call === 1) return { ...act, usage: { inputNocache: 80_000 } }
        if (call === 2)
          return { ...act, toolCalls: [{ ...act.toolCalls[0], id: 'b' }], usage: { inputNocache: 12_000 } } as never
        return { text: 'Done.' }
      },
    })
    await bench.finish()
    expect(bench.llm.requests.map(({ provider }) => provider)).toEqual(['a', 'b', 'b'])
    expect(bench.proposals.map((proposal) => proposal.grant?.autonomy)).toEqual([2, 2])
    expect(JSON.stringify(bench.llm.requests[1]?.messages)).toContain('is at yellow. In force: smaller-model.')
    expect(bench.llm.requests[1]?.system).toBe(bench.llm.requests[0]?.system)
    const decisions = await bench.decisions()
    expect(decisions.filter((line) => line.startsWith('DEGRADED'))).toHaveLength(2)
    expect(decisions.filter((line) => line.startsWith('ALERT'))).toEqual([
      expect.stringContaining('has passed 75 % of its tokens; in force: smaller-model'),
      expect.stringContaining('has passed 90 % of its tokens; in force: smaller-model, ask'),
    ])
  })

  it('that ask first lower what an action may do, only-high lets others wait, and rules-only asks no model', async () => {
    const asks = await Bench.open(db, { policies, spec, script: (_, call) => (call === 1 ? act : { text: 'Done.' }) })
    await spend(asks, 91_000)
    await asks.finish()
    expect(asks.proposals.map((proposal) => proposal.grant?.autonomy)).toEqual([1])
    const held = await Bench.open(db, { policies: [only], spec, script: () => ({ text: 'Done.' }) })
    await spend(held, 76_000)
    expect(await held.deliver()).toMatchObject({ reason: expect.stringContaining('only CRITICAL and HIGH runs start') })
    expect(await held.row()).toMatchObject({ state: 'WAITING_RATE' })
    await db.query(statement('high', `UPDATE guild_core.invocations SET priority = 'HIGH' WHERE id = $1`), [held.id])
    await held.finish()
    expect(await held.row()).toMatchObject({ state: 'COMPLETED' })
    const ruled = await Bench.open(db, { policies, spec })
    await spend(ruled, 96_000)
    await ruled.finish()
    expect(await ruled.row()).toMatchObject({ state: 'STOPPED', reason: 'BUDGET_ORG' })
    expect(ruled.llm.requests).toEqual([])
  })
})

describe('the bound of the input', () => {
  it('is learnt from fifty calls where the manifest says p99, and a call that passes it is on record', async () => {
    const spec = { model: { prefer: ['a/learnt'], inputBound: 'p99' } }
    const models = ['a/learnt']
    const used = { inputNocache: 60 }
    const first = await Bench.open(db, { spec, models, script: () => ({ text: 'Done.', usage: used }) })
    await first.finish()
    const strict = await reserved(first)
    // As if forty-nine more had been just like it.
    await db.query(statement('copy', copySql), [first.id])
    const second = await Bench.open(db, {
      spec,
      models,
      script: () => ({ text: 'Done.', usage: { inputNocache: 9_000 } }),
    })
    await second.finish()
    const learnt = await reserved(second)
    expect(strict - 2_048).toBeGreaterThan(500)
    expect(learnt - 2_048).toBeLessThanOrEqual(70)
    expect((await second.decisions()).filter((line) => line.startsWith('ESTIMATE_ERROR'))).toHaveLength(1)
  })
})

async function reserved(bench: Bench): Promise<number> {
  const text = 'SELECT tokens FROM guild_ledger.reservations WHERE invocation_id = $1 ORDER BY created_at LIMIT 1'
  const { rows } = await db.query<{ tokens: number }>(statement('reserved', text), [bench.id])
  return rows[0]?.tokens ?? 0
}

const copySql = `
INSERT INTO guild_ledger.token_usage (id, agent_id, invocation_id, step_seq, attempt, budget_ids, input_tokens, output_tokens,
  total_tokens, input_nocache, input_cache_read, input_cache_write, output_text, output_reasoning, cost_micros, provider, model,
  timestamp, event_id, input_bytes)
SELECT u.id || n, u.agent_id, u.invocation_id || n, u.step_seq, u.attempt, '[]', u.input_tokens, u.output_tokens, u.total_tokens,
  u.input_nocache, 0, 0, u.output_text, 0, 0, u.provider, u.model, u.timestamp, u.event_id, u.input_bytes
FROM guild_ledger.token_usage u, generate_series(1, 49) AS n WHERE u.invocation_id = $1`

function given(bench: Bench, more: Partial<GrantRequest>) {
  const deps = bench.deps()
  const { outbox, codex } = deps
  return grant(
    { database: db, outbox, codex, clock: systemClock, organisation: `org-${bench.agent.id}` },
    {
      target: { kind: 'run', id: bench.id },
      tokens: 0,
      costMicros: 0,
      reason: null,
      key: 'k',
      by: 'person:ada',
      ...more,
    },
  )
}

async function inTreeOf(first: Bench, second: Bench): Promise<void> {
  await db.query(statement('tree', 'UPDATE guild_core.invocations SET causal_root = $1 WHERE id = $2'), [
    first.eventId,
    second.id,
  ])
}

/** As if the organisation of this bench had used so much this month, in a call of another run. */
async function spend(bench: Bench, tokens: number): Promise<void> {
  const { ledger, limitsFor, clock } = bench.deps()
  const limits = limitsFor(bench.snapshot, bench.agent, null, { invocationId: `other-${bench.id}`, causalRoot: 'x' })
  const at = clock.now()
  await db.transaction(async (tx) => {
    const request = {
      invocationId: `other-${bench.id}`,
      stepSeq: 1,
      attempt: 1,
      leaseEpoch: 1,
      owner: 'o',
      costMicros: 0,
    }
    const answer = await ledger.reserve(tx, { ...request, tokens, limits, at, expiresAt: at })
    if (answer.kind !== 'reserved') throw new Error('no room')
    const usage = {
      inputNocache: tokens,
      inputCacheRead: 0,
      inputCacheWrite: 0,
      outputText: 0,
      outputReasoning: 0,
      raw: {},
    }
    const about = {
      reservationId: answer.id,
      agentId: 'o',
      chapter: null,
      eventId: 'e',
      provider: 'p',
      model: 'm',
      priceVersion: null,
    }
    await ledger.settle(tx, { ...about, usage, costMicros: 0, estimated: false, at })
  })
}
