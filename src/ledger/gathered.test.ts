import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Database } from '../database/database.ts'
import { GatheredDatabase } from '../database/gathered-database.ts'
import type { BudgetLimit, UsageRecord } from './ledger.ts'
import { postgresLedger } from './postgres-ledger.ts'
import { verifyLedger } from './verify-ledger.ts'

const at = new Date('2026-11-22T10:00:00Z')

describe('the ledger, asked by many at once', () => {
  let db: Database
  let gather: Database
  beforeAll(async () => {
    db = await openTestDatabase()
    gather = new GatheredDatabase(db)
  })
  afterAll(() => db.close())

  const reserve = (run: string, limits: readonly BudgetLimit[], tokens = 100) =>
    gather.transaction((tx) =>
      postgresLedger.reserve(tx, {
        invocationId: run,
        stepSeq: 1,
        attempt: 1,
        leaseEpoch: 1,
        owner: 'w',
        tokens,
        costMicros: 1,
        limits,
        at,
        expiresAt: at,
      }),
    )
  const settle = (reservationId: string, tokens: number) =>
    gather.transaction((tx) => postgresLedger.settle(tx, usage(reservationId, tokens)))
  const runs = (name: string, count: number) => Array.from({ length: count }, (_, n) => `inv_${name}_${n}`)

  it('reserves for all that fit, each with its own budgets', async () => {
    const answers = await Promise.all(
      runs('fit', 20).map((run, n) =>
        reserve(run, [
          limit('organization', 'fit', 'day', 2_000),
          limit('agent', `fit-${n % 3}`, 'month', null),
          limit('run', run, 'run', 100),
        ]),
      ),
    )
    expect(answers.map(({ kind }) => kind)).toEqual(answers.map(() => 'reserved'))
    expect(answers[4]).toMatchObject({ budgetIds: expect.arrayContaining([expect.stringContaining('fit-1')]) })
    expect(await verifyLedger(db)).toMatchObject({ ok: true, problems: [] })
  })

  it('starts exactly ten of fifty calls that race for a budget of ten', async () => {
    const answers = await Promise.all(
      runs('race', 50).map((run) => reserve(run, [limit('organization', 'race', 'hour', 1_000)])),
    )
    expect(answers.filter(({ kind }) => kind === 'reserved')).toHaveLength(10)
    expect(await verifyLedger(db)).toMatchObject({ ok: true, problems: [] })
  })

  it('gives the same answer to a reservation that was made before', async () => {
    const limits = [limit('organization', 'again', 'day', 1_000)]
    const first = await reserve('inv_again_0', limits)
    const again = await Promise.all([reserve('inv_again_0', limits), reserve('inv_again_1', limits)])
    expect(again[0]).toMatchObject({ kind: 'reserved', id: first.kind === 'reserved' ? first.id : '' })
    expect(again[1]).toMatchObject({ kind: 'reserved' })
    expect(await verifyLedger(db)).toMatchObject({ ok: true, problems: [] })
  })

  it('settles in full, and tells each alert once', async () => {
    const names = runs('settle', 10)
    const made = await Promise.all(
      names.map((run) => reserve(run, [limit('organization', 'settle', 'day', 1_000), limit('run', run, 'run', 200)])),
    )
    const ids = made.flatMap((answer) => (answer.kind === 'reserved' ? [answer.id] : []))
    const settled = await Promise.all(ids.map((id) => settle(id, 95)))
    const alerts = settled.flatMap((one) => one.alerts).filter(({ entityType }) => entityType === 'organization')
    expect(alerts.map(({ threshold, dimension }) => `${threshold} ${dimension}`)).toEqual([
      '75 tokens',
      '90 tokens',
      '95 tokens',
    ])
    const { rows } = await db.query({
      name: '',
      text: `SELECT consumed_tokens, reserved_tokens, alert_state FROM guild_ledger.token_budgets WHERE entity_id = 'settle'`,
    })
    expect(rows).toEqual([{ consumed_tokens: 950, reserved_tokens: 0, alert_state: 'red' }])
    // Again: nothing changes.
    expect((await Promise.all(ids.map((id) => settle(id, 95)))).flatMap((one) => one.alerts)).toEqual([])
    expect(await verifyLedger(db)).toMatchObject({ ok: true, problems: [] })
  })

  it('lets one who settles what was never reserved fail alone', async () => {
    const made = await reserve('inv_known', [limit('organization', 'known', 'day', 1_000)])
    const outcomes = await Promise.allSettled([
      settle('res_unknown', 5),
      settle(made.kind === 'reserved' ? made.id : '', 5),
    ])
    expect(outcomes).toMatchObject([
      { status: 'rejected', reason: { code: 'GUILD_LEDGER_IMBALANCE' } },
      { status: 'fulfilled' },
    ])
  })
})

function limit(
  entityType: BudgetLimit['entityType'],
  entityId: string,
  kind: BudgetLimit['kind'],
  tokens: number | null,
): BudgetLimit {
  return { entityType, entityId, kind, tokens, costMicros: null }
}

function usage(reservationId: string, tokens: number): UsageRecord {
  return {
    reservationId,
    agentId: 'a',
    chapter: null,
    eventId: 'evt',
    provider: 'p',
    model: 'm',
    priceVersion: null,
    usage: { inputNocache: tokens, inputCacheRead: 0, inputCacheWrite: 0, outputText: 0, outputReasoning: 0, raw: {} },
    costMicros: 1,
    estimated: false,
    at,
  }
}
