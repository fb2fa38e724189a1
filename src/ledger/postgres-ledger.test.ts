import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Database, Statement } from '../database/database.ts'
import { budgetLevel, listBudgets } from './budgets.ts'
import type { BudgetLimit, ReserveRequest, UsageRecord } from './ledger.ts'
import { postgresLedger } from './postgres-ledger.ts'
import { sweepReservations } from './sweep-reservations.ts'
import { verifyLedger } from './verify-ledger.ts'

const at = new Date('2026-11-22T10:30:00Z')
const later = new Date('2026-11-22T10:31:00Z')
let db: Database
let unique = 0

beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(async () => {
  await db.close()
})

describe('reserve', () => {
  it('takes from every limit, and refuses when the sum would pass one', async () => {
    const limits = [limit('organization', 'day', { tokens: 1_000 }), limit('chapter', 'hour', { tokens: 300 })]
    const first = await reserve({ limits, tokens: 200 })
    expect(first.kind).toBe('reserved')
    const second = await reserve({ limits, tokens: 200 })
    expect(second).toEqual({ kind: 'refused', limit: limits[1], dimension: 'tokens', left: 100, need: 200 })
    expect(await figures(limits)).toEqual([
      { consumed: 0, reserved: 200 },
      { consumed: 0, reserved: 200 },
    ])
  })

  it('names the widest limit when several have no room, in whatever order they are given', async () => {
    const limits = [limit('run', 'run', { tokens: 10 }), limit('organization', 'month', { tokens: 10 })]
    expect(await reserve({ limits, tokens: 11 })).toMatchObject({ kind: 'refused', limit: limits[1] })
  })

  it('checks money beside tokens', async () => {
    const limits = [limit('agent', 'month', { tokens: 1_000, costMicros: 50 })]
    expect(await reserve({ limits, tokens: 1, costMicros: 51 })).toMatchObject({
      dimension: 'cost',
      left: 50,
      need: 51,
    })
    expect(await reserve({ limits, tokens: 1, costMicros: 50 })).toMatchObject({ kind: 'reserved' })
  })

  it('gives the same answer to the same step and attempt, and takes once', async () => {
    const limits = [limit('organization', 'day', { tokens: 100 })]
    const request = aRequest({ limits, tokens: 60 })
    const first = await db.transaction((tx) => postgresLedger.reserve(tx, { ...request, tokens: 40 }))
    const again = await db.transaction((tx) => postgresLedger.reserve(tx, { ...request, tokens: 40 }))
    expect(again).toEqual(first)
    expect(await figures(limits)).toEqual([{ consumed: 0, reserved: 40 }])
  })

  it('refuses to open a step again that is settled', async () => {
    const limits = [limit('organization', 'day', { tokens: 100 })]
    const request = aRequest({ limits, tokens: 10 })
    const { id } = await opened(request)
    await settle(id, 10)
    await expect(db.transaction((tx) => postgresLedger.reserve(tx, request))).rejects.toMatchObject({
      code: 'GUILD_LEDGER_IMBALANCE',
    })
  })

  it('starts from zero in the next period', async () => {
    const limits = [limit('organization', 'hour', { tokens: 100 })]
    expect((await reserve({ limits, tokens: 100 })).kind).toBe('reserved')
    expect((await reserve({ limits, tokens: 1 })).kind).toBe('refused')
    expect((await reserve({ limits, tokens: 100, at: new Date('2026-11-22T11:00:00Z') })).kind).toBe('reserved')
  })

  it('holds a limit that was lowered after it was spent', async () => {
    const wide = limit('organization', 'day', { tokens: 100 })
    await settle((await opened(aRequest({ limits: [wide], tokens: 80 }))).id, 80)
    const tight = { ...wide, tokens: 50 }
    expect(await reserve({ limits: [tight], tokens: 1 })).toMatchObject({ kind: 'refused', left: 0 })
    expect(await reserve({ limits: [tight], tokens: 0 })).toMatchObject({ kind: 'reserved' })
  })

  it('finds the budgets of a call without reading the others, however many there are', async () => {
    await db.query(
      text(`INSERT INTO guild_ledger.token_budgets (id, entity_type, entity_id, limit_kind, period_start, period_end, budget_tokens)
        SELECT 'tree_' || n, 'tree', 'evt_' || n, 'run', now(), now(), 1 FROM generate_series(1, 3000) n`),
    )
    await db.query(text('ANALYZE guild_ledger.token_budgets'))
    const limits = [limit('organization', 'day', { tokens: 100 }), limit('run', 'run', { tokens: 100 })]
    const walked = await db.transaction(async (tx) => {
      const reserved = await postgresLedger.reserve(tx, aRequest({ limits, tokens: 10 }))
      if (reserved.kind !== 'reserved') throw new Error('no room')
      await postgresLedger.settle(tx, aRecord(reserved.id, 5))
      // Rows that sequential scans of this transaction have read.
      const read = text(`SELECT pg_stat_get_xact_tuples_returned('guild_ledger.token_budgets'::regclass) AS rows`)
      return (await tx.query<{ rows: number }>(read)).rows[0]?.rows
    })
    expect(walked).toBeLessThan(1_000)
    await db.query(text(`DELETE FROM guild_ledger.token_budgets WHERE id LIKE 'tree~_%' ESCAPE '~'`))
  })

  it('takes two statements, and so do settle and release', async () => {
    const limits = [limit('organization', 'day', { tokens: 100 }), limit('run', 'run', { tokens: 100 })]
    let count = 0
    const counted = <T>(work: (tx: Parameters<typeof postgresLedger.release>[0]) => Promise<T>) =>
      db.transaction((tx) =>
        work({
          query: (statement, params) => {
            count += 1
            return tx.query(statement, params)
          },
        }),
      )
    const reserved = await counted((tx) => postgresLedger.reserve(tx, aRequest({ limits, tokens: 1 })))
    if (reserved.kind !== 'reserved') throw new Error('no room')
    await counted((tx) => postgresLedger.settle(tx, aRecord(reserved.id, 1)))
    await counted((tx) => postgresLedger.release(tx, reserved.id))
    expect(count).toBe(6)
  })
})

describe('settle and release', () => {
  it('turns a reservation into consumption once', async () => {
    const limits = [limit('organization', 'day', { tokens: 100 })]
    const { id } = await opened(aRequest({ limits, tokens: 60 }))
    await settle(id, 25)
    await settle(id, 25)
    await db.transaction((tx) => postgresLedger.release(tx, id))
    expect(await figures(limits)).toEqual([{ consumed: 25, reserved: 0 }])
  })

  it('charges in full what a call used above its reservation', async () => {
    const limits = [limit('organization', 'day', { tokens: 100 })]
    await settle((await opened(aRequest({ limits, tokens: 60 }))).id, 130)
    expect(await figures(limits)).toEqual([{ consumed: 130, reserved: 0 }])
    expect((await verifyLedger(db)).totals.calls_over_estimate).toBe(1)
  })

  it('charges an answer that came after its reservation was given back', async () => {
    const limits = [limit('organization', 'day', { tokens: 100 })]
    const { id } = await opened(aRequest({ limits, tokens: 60 }))
    await db.transaction((tx) => postgresLedger.release(tx, id))
    await settle(id, 20)
    expect(await figures(limits)).toEqual([{ consumed: 20, reserved: 0 }])
    expect((await verifyLedger(db)).problems).toEqual([])
  })

  it('gives a released reservation back once', async () => {
    const limits = [limit('organization', 'day', { tokens: 100 })]
    const { id } = await opened(aRequest({ limits, tokens: 60 }))
    await db.transaction((tx) => postgresLedger.release(tx, id))
    await db.transaction((tx) => postgresLedger.release(tx, id))
    expect(await figures(limits)).toEqual([{ consumed: 0, reserved: 0 }])
  })

  it('refuses to settle what was never reserved', async () => {
    await expect(settle('res_unknown', 1)).rejects.toMatchObject({ code: 'GUILD_LEDGER_IMBALANCE' })
  })

  it('stores usage by kind of token, and a lost call as estimated', async () => {
    const { id } = await opened(aRequest({ limits: [limit('agent', 'month', {})], tokens: 60 }))
    const usage = {
      inputNocache: 3,
      inputCacheRead: 5,
      inputCacheWrite: 7,
      outputText: 11,
      outputReasoning: 13,
      raw: {},
    }
    await db.transaction((tx) => postgresLedger.settle(tx, { ...aRecord(id, 0), usage, estimated: true }))
    const stored = await db.query(text('SELECT * FROM guild_ledger.token_usage WHERE id = $1'), [
      id.replace('res_', 'use_'),
    ])
    expect(stored.rows[0]).toMatchObject({ input_tokens: 15, output_tokens: 24, total_tokens: 39, estimated: true })
    const reservation = await db.query(text('SELECT state FROM guild_ledger.reservations WHERE id = $1'), [id])
    expect(reservation.rows[0]).toEqual({ state: 'LOST' })
  })

  it('writes one alert per threshold and dimension, however many calls pass it', async () => {
    const limits = [limit('organization', 'month', { tokens: 100, costMicros: 1_000 })]
    const levels: string[] = []
    for (const used of [70, 5, 16, 3, 1, 9]) {
      await settle((await opened(aRequest({ limits, tokens: 0 }))).id, used)
      levels.push((await budgets(limits))[0]?.level ?? '')
    }
    expect(levels).toEqual(['green', 'yellow', 'orange', 'orange', 'red', 'spent'])
    const [budget] = await budgets(limits)
    expect(budget?.alerts.map(({ threshold, dimension }) => `${threshold} ${dimension}`)).toEqual([
      '75 tokens',
      '90 tokens',
      '95 tokens',
    ])
    const state = await db.query(text('SELECT alert_state FROM guild_ledger.budgets WHERE id = $1'), [budget?.id ?? ''])
    expect(state.rows).toEqual([{ alert_state: 'red' }])
  })
})

describe('sweepReservations', () => {
  it('gives back only what expired and nobody can settle any more', async () => {
    const now = new Date('2026-11-22T11:00:00Z')
    await sweepReservations(db, now) // what other tests left open
    const limits = [limit('organization', 'day', { tokens: 1_000 })]
    const running = await anInvocation('RUNNING', 3)
    const done = await anInvocation('COMPLETED', 3)
    const reserveFor = (invocationId: string, leaseEpoch: number, expiresAt = later) =>
      opened({ ...aRequest({ limits, tokens: 10 }), invocationId, leaseEpoch, expiresAt, stepSeq: (unique += 1) })
    await reserveFor(running, 3)
    await reserveFor(running, 2)
    await reserveFor(done, 3)
    await reserveFor(done, 3, new Date('2026-11-22T12:00:00Z'))
    await reserveFor('inv_unknown', 1)
    expect(await sweepReservations(db, now)).toEqual({ released: 3, charged: 0 })
    expect(await sweepReservations(db, now)).toEqual({ released: 0, charged: 0 })
    expect(await figures(limits)).toEqual([{ consumed: 0, reserved: 20 }])
  })
})

describe('the ledger', () => {
  it('lets exactly ten of fifty concurrent calls through a budget for ten', async () => {
    const limits = [limit('organization', 'day', { tokens: 1_000 })]
    const answers = await Promise.all(Array.from({ length: 50 }, () => reserve({ limits, tokens: 100 })))
    expect(answers.filter(({ kind }) => kind === 'reserved')).toHaveLength(10)
    expect(await figures(limits)).toEqual([{ consumed: 0, reserved: 1_000 }])
  })

  it('never passes a limit, returns every reservation and adds up, whatever the order of calls', async () => {
    const call = fc.record({
      chapter: fc.integer({ min: 0, max: 2 }),
      tokens: fc.integer({ min: 0, max: 400 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      end: fc.constantFrom('settle', 'settle twice', 'release', 'release then settle'),
      closeAfter: fc.nat(6),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 14 }), async (calls) => {
        const organisation = limit('organization', 'day', { tokens: 900, costMicros: 9_000 })
        const chapters = [0, 1, 2].map(() => limit('chapter', 'day', { tokens: 500, costMicros: 9_000 }))
        const every = [organisation, ...chapters]
        const open: { readonly call: (typeof calls)[number]; readonly id: string; readonly due: number }[] = []
        for (const [index, one] of calls.entries()) {
          const limits = [organisation, chapters[one.chapter] ?? organisation]
          const answer = await reserve({ limits, tokens: one.tokens, costMicros: one.tokens * 10 })
          if (answer.kind === 'reserved') open.push({ call: one, id: answer.id, due: index + one.closeAfter })
          await Promise.all(open.filter(({ due }) => due === index).map(({ call, id }) => close(call, id)))
          for (const { consumed, reserved } of await figures(every.slice(0, 1))) {
            expect(consumed + reserved).toBeLessThanOrEqual(900)
          }
        }
        await Promise.all(open.filter(({ due }) => due >= calls.length).map(({ call, id }) => close(call, id)))
        for (const { reserved } of await figures(every)) expect(reserved).toBe(0)
        expect((await verifyLedger(db)).problems).toEqual([])
      }),
      { numRuns: 15 },
    )

    async function close({ end, tokens, share }: { end: string; tokens: number; share: number }, id: string) {
      if (end.startsWith('release')) await db.transaction((tx) => postgresLedger.release(tx, id))
      // A late answer is charged whatever room is left: only answers that keep within what is left are tried here.
      const used = end === 'release then settle' ? 0 : Math.floor(tokens * share)
      if (end !== 'release') await settle(id, used)
      if (end === 'settle twice') await settle(id, used)
    }
  })

  it('names what does not add up', async () => {
    const limits = [limit('organization', 'day', { tokens: 100 })]
    const { id, budgetIds } = await opened(aRequest({ limits, tokens: 10 }))
    // Broken and looked at in a transaction that is taken back: the ledger of the other tests stays whole.
    const undo = new Error('taken back')
    let broken: readonly string[] = []
    const breaking = db.transaction(async (tx) => {
      await tx.query(
        text('UPDATE guild_ledger.token_budgets SET reserved_tokens = 7, consumed_cost_micros = 3 WHERE id = $1'),
        [budgetIds[0] ?? ''],
      )
      await tx.query(text(`UPDATE guild_ledger.reservations SET state = 'SETTLED' WHERE id = $1`), [id])
      const report = await verifyLedger(tx)
      expect(report.ok).toBe(false)
      broken = report.problems
      throw undo
    })
    await expect(breaking).rejects.toBe(undo)
    expect(broken.map((problem) => problem.replace(/^\S+: /, ''))).toEqual([
      'consumed is 3 micro-USD, its usage adds up to 0',
      'reserved is 7 tokens, its open reservations add up to 0',
      'the reservation is SETTLED, but no usage was stored',
    ])
    expect(await verifyLedger(db)).toMatchObject({ ok: true, problems: [] })
  })
})

describe('budgetLevel', () => {
  it.each([
    [100, 74, null, 0, 'green'],
    [100, 75, null, 0, 'yellow'],
    [null, 1e9, 100, 90, 'orange'],
    [100, 10, 100, 95, 'red'],
    [100, 100, 100, 0, 'spent'],
    [0, 0, null, 0, 'spent'],
    [null, 5, null, 5, 'green'],
  ] as const)('limits %s (%s used), %s (%s used): %s', (tokens, usedTokens, cost, usedCost, level) => {
    expect(
      budgetLevel({
        budget_tokens: tokens,
        consumed_tokens: usedTokens,
        cost_limit_micros: cost,
        consumed_cost_micros: usedCost,
      }),
    ).toBe(level)
  })
})

function limit(
  entityType: BudgetLimit['entityType'],
  kind: BudgetLimit['kind'],
  max: { tokens?: number; costMicros?: number },
): BudgetLimit {
  unique += 1
  return { entityType, entityId: `e${unique}`, kind, tokens: max.tokens ?? null, costMicros: max.costMicros ?? null }
}

function aRequest(over: Pick<ReserveRequest, 'limits' | 'tokens'> & Partial<ReserveRequest>): ReserveRequest {
  unique += 1
  return {
    invocationId: `inv_${unique}`,
    stepSeq: 1,
    attempt: 1,
    leaseEpoch: 1,
    owner: 'test',
    costMicros: 0,
    at,
    expiresAt: later,
    ...over,
  }
}

function reserve(over: Pick<ReserveRequest, 'limits' | 'tokens'> & Partial<ReserveRequest>) {
  return db.transaction((tx) => postgresLedger.reserve(tx, aRequest(over)))
}

async function opened(request: ReserveRequest) {
  const answer = await db.transaction((tx) => postgresLedger.reserve(tx, request))
  if (answer.kind !== 'reserved') throw new Error('no room')
  return answer
}

function settle(id: string, tokens: number) {
  return db.transaction((tx) => postgresLedger.settle(tx, aRecord(id, tokens)))
}

function aRecord(reservationId: string, tokens: number): UsageRecord {
  return {
    reservationId,
    agentId: 'sentinel',
    chapter: null,
    eventId: 'evt_1',
    provider: 'test',
    model: 'test-1',
    priceVersion: null,
    usage: { inputNocache: tokens, inputCacheRead: 0, inputCacheWrite: 0, outputText: 0, outputReasoning: 0, raw: {} },
    costMicros: 0,
    estimated: false,
    at: later,
  }
}

async function budgets(limits: readonly BudgetLimit[]) {
  const found = await Promise.all(
    limits.map(({ entityType, entityId }) => listBudgets(db, at, { entityType, entityId })),
  )
  return found.flat()
}

async function figures(limits: readonly BudgetLimit[]) {
  return (await budgets(limits)).map((row) => ({ consumed: row.consumed_tokens, reserved: row.reserved_tokens }))
}

async function anInvocation(state: string, epoch: number): Promise<string> {
  unique += 1
  const id = `inv_${unique}`
  await db.query(
    text(`WITH key AS (INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at) VALUES ($1, 's', $1, now()))
      INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key,
      payload, metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
      VALUES ($1, 'T', 's', 's', 'NORMAL', 't', 'k', 'x', 'a', $1, '{}', '{}', now(), now(), $1, 0, 'ROUTED', '', 'c')`),
    [`evt_${id}`],
  )
  await db.query(
    text(`INSERT INTO guild_core.invocations (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth,
      codex_commit, snapshot_hash, rule, priority, state, lease_epoch)
      VALUES ($1, 'a', 'A', '1.0.0', $2, 't', 'r', 0, 'c', 'h', 'r', 'NORMAL', $3, $4)`),
    [id, `evt_${id}`, state, epoch],
  )
  return id
}

function text(sql: string): Statement {
  return { name: 'test.ledger', text: sql }
}
