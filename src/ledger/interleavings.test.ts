import * as fc from 'fast-check'
import { afterAll, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { openTestPostgres } from '../../test/postgres.ts'
import type { Statement } from '../database/database.ts'
import type { BudgetLimit, UsageRecord } from './ledger.ts'
import { postgresLedger } from './postgres-ledger.ts'
import { sweepReservations } from './sweep-reservations.ts'
import { verifyLedger } from './verify-ledger.ts'

// A server where there is one, so that transactions meet; else the embedded database, which runs the same SQL one at a time.
const db = (await openTestPostgres()) ?? (await openTestDatabase())
afterAll(() => db.close())

/*
 * Mutations:
 * - ledger.sql, `reserve`: without `NOT EXISTS (SELECT FROM refused)`: “exceeded equals []” fails.
 * - ledger.sql, `release`: without `AND state = 'OPEN'` the same is given back twice: the database refuses a negative figure.
 * - ledger.sql, `settle`: usage stored twice is charged twice (`ON CONFLICT … DO UPDATE`): “exceeded equals []” fails.
 * - sweep-reservations.sql, `findAbandoned`: without `s.seq IS NULL` the sweeper takes what a new owner will charge: “state OPEN” fails.
 */

const runs = 50
const at = new Date('2026-11-22T10:30:00Z')
/** Reservations of those who died have expired by then. */
const later = new Date('2026-11-22T12:00:00Z')
let world = 0

const call = fc.record({
  tokens: fc.integer({ min: 0, max: 900 }),
  /** of the worst case, what was really used */
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  end: fc.constantFrom(
    'answer',
    'answer twice',
    'fail',
    'crash, taken over',
    'crash, cancelled',
    'crash before the call',
  ),
})
const plan = fc.array(call, { minLength: 1, maxLength: 3 })

it(
  'no budget is exceeded by one token, reserved returns to 0 and sums equal usage rows, whatever fifty runs, crashes and settlements do',
  { timeout: 60_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(plan, { minLength: runs, maxLength: runs }),
        async (scheduler, plans) => {
          world += 1
          const here = world
          await db.query(text(inventSql), [here, runs])
          const turn = () => scheduler.schedule(Promise.resolve(), 'turn')
          const sweeping = (async () => {
            for (let pass = 0; pass < 5; pass += 1) {
              await turn()
              await sweepReservations(db, later)
            }
          })()
          const all = Promise.all([sweeping, ...plans.map((calls, index) => run(here, index, calls, turn))])
          await scheduler.waitFor(all)
          await sweepReservations(db, later)
          expect(await exceeded(here)).toEqual([])
          const left = await db.query(
            text(`SELECT id FROM guild_ledger.token_budgets WHERE reserved_tokens <> 0 OR reserved_cost_micros <> 0`),
          )
          expect(left.rows).toEqual([])
          expect((await verifyLedger(db)).problems).toEqual([])
        },
      ),
      { numRuns: 4, endOnFailure: true },
    )
  },
)

type Turn = () => Promise<unknown>
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never

/** One run, as the executor makes it: reserve with the intent, then answer, fail or die; each in one transaction. */
async function run(here: number, index: number, calls: readonly Call[], turn: Turn): Promise<void> {
  const id = `inv_${here}_${index}`
  let epoch = 1
  for (const [seq, one] of calls.entries()) {
    await turn()
    const reservation = await reserve(here, index, id, seq, epoch, one.tokens)
    if (reservation === null) continue
    expect(await exceeded(here)).toEqual([])
    await turn()
    const used = Math.floor(one.tokens * one.share)
    if (one.end === 'fail') await db.transaction((tx) => postgresLedger.release(tx, reservation))
    else if (one.end === 'crash, cancelled' || one.end === 'crash before the call') {
      // Nobody continues: what was sent is the sweeper's to charge, what was not to give back.
      if (one.end === 'crash before the call')
        await db.query(text(`DELETE FROM guild_core.run_steps WHERE invocation_id = $1 AND seq = $2`), [id, seq])
      await db.query(text(`UPDATE guild_core.invocations SET state = 'STOPPED' WHERE id = $1`), [id])
      return
    } else if (one.end === 'crash, taken over') {
      epoch += 1
      await db.query(text(`UPDATE guild_core.invocations SET lease_epoch = $2 WHERE id = $1`), [id, epoch])
      await turn()
      // What a new owner will charge stays reserved: given back, its room could be taken before the charge comes.
      await sweepReservations(db, later)
      await requireOpen(reservation)
      await settle(reservation, id, seq, used, true)
    } else {
      await settle(reservation, id, seq, used, false)
      if (one.end === 'answer twice') await settle(reservation, id, seq, used, false)
    }
  }
  await db.query(text(`UPDATE guild_core.invocations SET state = 'COMPLETED' WHERE id = $1`), [id])
}

async function requireOpen(reservation: string): Promise<void> {
  const { rows } = await db.query<{ state: string }>(
    text('SELECT state FROM guild_ledger.reservations WHERE id = $1'),
    [reservation],
  )
  expect(rows).toEqual([{ state: 'OPEN' }])
}

async function reserve(here: number, index: number, id: string, seq: number, epoch: number, tokens: number) {
  return db.transaction(async (tx) => {
    const answer = await postgresLedger.reserve(tx, {
      invocationId: id,
      stepSeq: seq,
      attempt: 1,
      leaseEpoch: epoch,
      owner: 'w',
      tokens,
      costMicros: tokens * 3,
      limits: limitsOf(here, index),
      headroom: { tokens: index % 3 === 0 ? 100 : 0, costMicros: 0 },
      at,
      expiresAt: at,
    })
    if (answer.kind !== 'reserved') return null
    const request = { provider: 'p', model: 'm', inputTokens: Math.floor(tokens / 2), price: null }
    await tx.query(text(intentSql), [id, seq, epoch, JSON.stringify(request)])
    return answer.id
  })
}

async function settle(reservationId: string, id: string, seq: number, used: number, estimated: boolean): Promise<void> {
  const usage = {
    inputNocache: used,
    inputCacheRead: 0,
    inputCacheWrite: 0,
    outputText: 0,
    outputReasoning: 0,
    raw: {},
  }
  const about = { agentId: 'a', chapter: null, eventId: 'e', provider: 'p', model: 'm', priceVersion: null }
  const record: UsageRecord = { reservationId, ...about, usage, costMicros: used * 3, estimated, at }
  await db.transaction(async (tx) => {
    await postgresLedger.settle(tx, record)
    const status = estimated ? 'LOST' : 'DONE'
    await tx.query(text(`UPDATE guild_core.run_steps SET status = $3 WHERE invocation_id = $1 AND seq = $2`), [
      id,
      seq,
      status,
    ])
  })
}

/** Five chapters, seven agents, ten trees: every level is short of what the runs ask for, some in tokens and some in money. */
function limitsOf(here: number, index: number): readonly BudgetLimit[] {
  const limit = (
    entityType: BudgetLimit['entityType'],
    name: string,
    kind: BudgetLimit['kind'],
    tokens: number | null,
    costMicros: number | null,
  ): BudgetLimit => ({ entityType, entityId: `${here}-${name}`, kind, tokens, costMicros })
  return [
    limit('organization', 'org', 'day', 12_000, 40_000),
    limit('organization', 'org', 'month', null, 38_000),
    limit('chapter', `c${index % 5}`, 'hour', 3_000, null),
    limit('agent', `a${index % 7}`, 'day', 2_500, 7_000),
    limit('tree', `t${index % 10}`, 'tree', null, 4_500),
    limit('run', `inv_${here}_${index}`, 'run', 1_500, null),
  ]
}

/** Consumed and reserved together are never above a limit, not even between two statements of somebody else. */
async function exceeded(here: number): Promise<readonly unknown[]> {
  const { rows } = await db.query(text(exceededSql), [`${here}-%`])
  return rows
}

function text(sql: string): Statement {
  return { name: 'test.interleavings', text: sql }
}

const exceededSql = `
SELECT id, consumed_tokens, reserved_tokens, budget_tokens, consumed_cost_micros, reserved_cost_micros, cost_limit_micros
FROM guild_ledger.token_budgets WHERE entity_id LIKE $1
  AND (consumed_tokens + reserved_tokens > budget_tokens OR consumed_cost_micros + reserved_cost_micros > cost_limit_micros)`

const intentSql = `
INSERT INTO guild_core.run_steps (invocation_id, run_at, seq, attempt, kind, name, status, lease_epoch, request)
SELECT id, made_at, $2, 1, 'llm', 'p/m', 'INTENT', $3, $4::jsonb FROM guild_core.invocations WHERE id = $1`

const inventSql = `
WITH key AS (
  INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at)
  VALUES ('evt_' || $1::integer, 's', 'evt_' || $1::integer, now())
), event AS (
  INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload,
    metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
  VALUES ('evt_' || $1::integer, 'T', 's', 's', 'NORMAL', 't', 'k', 'x', 'a', 'evt_' || $1::integer, '{}', '{}', now(), now(), 'r', 0,
    'ROUTED', '', 'c')
  RETURNING id
)
INSERT INTO guild_core.invocations (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth, codex_commit,
  snapshot_hash, rule, priority, state, lease_epoch)
SELECT 'inv_' || $1::integer || '_' || n, 'a' || n, 'A', '1.0.0', event.id, 't', 'r', 0, 'c', 'h', 'r', 'NORMAL', 'RUNNING', 1
FROM event, generate_series(0, $2::integer - 1) AS n`
