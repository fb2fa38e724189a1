import { afterAll, describe, expect, it } from 'vitest'
import { text } from '../../test/dispatch.ts'
import { openTestPostgres } from '../../test/postgres.ts'
import type { BudgetLimit } from './ledger.ts'
import { listBudgets } from './budgets.ts'
import { postgresLedger } from './postgres-ledger.ts'
import { verifyLedger } from './verify-ledger.ts'

const db = await openTestPostgres()
afterAll(async () => db?.close())

describe.skipIf(db === null)('the ledger on a server, many connections at once', () => {
  it('never passes a limit, never deadlocks, and adds up', async () => {
    if (!db) return
    const organisation = limit('organization', 'acme', 'day', 20_000)
    const calls = Array.from({ length: 400 }, (_, index) => index)
    const outcomes = await tenAtOnce(
      calls.map((index) => async () => {
        // Half of them begin before the hour and half after, so that new period rows appear while others are locked.
        const at = new Date(index % 2 === 0 ? '2026-11-22T10:59:59Z' : '2026-11-22T11:00:00Z')
        const limits = shuffled(index, [
          limit('run', `inv_${index % 40}`, 'run', 5_000),
          limit('agent', `agent-${index % 3}`, 'month', null),
          limit('chapter', `chapter-${index % 5}`, 'hour', 3_000),
          organisation,
        ])
        const request = {
          invocationId: `inv_${index % 40}`,
          stepSeq: index,
          attempt: 1,
          leaseEpoch: 1,
          owner: 'w',
          costMicros: 7,
        }
        const answer = await db.transaction((tx) =>
          postgresLedger.reserve(tx, { ...request, tokens: 100, limits, at, expiresAt: at }),
        )
        if (answer.kind !== 'reserved') return 'refused'
        if (index % 3 === 0) return 'open'
        if (index % 3 === 1) await db.transaction((tx) => postgresLedger.release(tx, answer.id))
        else await settleTwice(answer.id, at)
        return 'closed'
      }),
    )
    const [budget] = await listBudgets(db, new Date('2026-11-22T11:30:00Z'), { entityType: 'organization' })
    const open = outcomes.filter((outcome) => outcome === 'open').length
    expect(budget?.reserved_tokens).toBe(open * 100)
    expect((budget?.consumed_tokens ?? 0) + (budget?.reserved_tokens ?? 0)).toBeLessThanOrEqual(20_000)
    expect(await verifyLedger(db)).toMatchObject({ ok: true, problems: [] })
    const stats = await db.query<{ deadlocks: number }>(
      text('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'),
    )
    expect(stats.rows[0]?.deadlocks).toBe(0)
  })

  it('lets many make the first row of a period at once', async () => {
    if (!db) return
    const expiresAt = new Date('2027-01-01T00:00:00Z')
    for (let hour = 0; hour < 20; hour += 1) {
      const at = new Date(Date.UTC(2026, 11, 1, hour))
      const limits = [limit('organization', 'first', 'hour', null), limit('chapter', 'first', 'hour', null)]
      const request = { attempt: 1, leaseEpoch: 1, owner: 'w', tokens: 1, costMicros: 0, limits, at, expiresAt }
      const answers = await tenAtOnce(
        Array.from(
          { length: 10 },
          (_, index) => () =>
            db.transaction((tx) =>
              postgresLedger.reserve(tx, { ...request, invocationId: `inv_first_${hour}`, stepSeq: index }),
            ),
        ),
      )
      expect(answers.map(({ kind }) => kind)).toEqual(answers.map(() => 'reserved'))
    }
  })

  it('starts exactly ten of fifty calls that race for a budget of ten', async () => {
    if (!db) return
    const limits = [limit('organization', 'race', 'hour', 1_000)]
    const at = new Date('2026-11-22T10:00:00Z')
    const answers = await tenAtOnce(
      Array.from(
        { length: 50 },
        (_, index) => () =>
          db.transaction((tx) =>
            postgresLedger.reserve(tx, {
              invocationId: `inv_race_${index}`,
              stepSeq: 1,
              attempt: 1,
              leaseEpoch: 1,
              owner: 'w',
              tokens: 100,
              costMicros: 0,
              limits,
              at,
              expiresAt: at,
            }),
          ),
      ),
    )
    expect(answers.filter(({ kind }) => kind === 'reserved')).toHaveLength(10)
  })
})

/** As many as the pool has connections: more would only wait for one, and give up on a slow machine. */
async function tenAtOnce<T>(tasks: readonly (() => Promise<T>)[]): Promise<readonly T[]> {
  const results: T[] = []
  const rest = tasks.values()
  const work = async () => {
    for (const task of rest) results.push(await task())
  }
  await Promise.all(Array.from({ length: 10 }, work))
  return results
}

async function settleTwice(reservationId: string, at: Date): Promise<void> {
  const usage = { inputNocache: 30, inputCacheRead: 0, inputCacheWrite: 0, outputText: 20, outputReasoning: 0, raw: {} }
  const record = {
    reservationId,
    agentId: 'a',
    chapter: null,
    eventId: 'e',
    provider: 'p',
    model: 'm',
    priceVersion: null,
  }
  const settle = () =>
    db?.transaction((tx) => postgresLedger.settle(tx, { ...record, usage, costMicros: 5, estimated: false, at }))
  await Promise.all([settle(), settle()])
}

function limit(
  entityType: BudgetLimit['entityType'],
  entityId: string,
  kind: BudgetLimit['kind'],
  tokens: number | null,
): BudgetLimit {
  return { entityType, entityId, kind, tokens, costMicros: null }
}

function shuffled<T>(seed: number, items: readonly T[]): readonly T[] {
  const shift = seed % items.length
  return [...items.slice(shift), ...items.slice(0, shift)]
}
