import type { Queryable } from '../database/database.ts'
import { concatenated, gathered, joinedJson, mergeable } from '../database/gathered.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import { hashId } from '../kernel/ids.ts'
import {
  type BudgetAlert,
  type BudgetLimit,
  levelNames,
  type Ledger,
  type Reservation,
  type ReserveRequest,
  type Settlement,
  type Standing,
  type UsageRecord,
} from './ledger.ts'
import { budgetId, periodOf } from './period.ts'

const plain = statements(import.meta.url, './ledger.sql', [
  'lockBudgets',
  'reserve',
  'reserveMany',
  'readReservation',
  'lockReserved',
  'settle',
  'settleMany',
  'release',
])
/** The budgets of the organisation are wanted by everybody: those who come at the same moment lock them once. */
const sql = {
  ...plain,
  lockBudgets: mergeable(plain.lockBudgets, (calls) => [
    joinedJson(calls.map(([budgets]) => budgets ?? '[]')),
    calls[0]?.[1] ?? null,
  ]),
  reserve: gathered(plain.reserve, plain.reserveMany, { empty: 'alone' }),
  lockReserved: mergeable(plain.lockReserved, concatenated),
  settle: gathered(plain.settle, plain.settleMany, {
    merge: (calls) => [`[${calls.map(([record]) => String(record)).join(',')}]`],
  }),
}

/**
 * The ledger on the `guild_ledger` tables; two statements for each operation. It is stateless: the first statement of each locks the
 * budget rows, the second reads them anew and changes them, so no two calls can both take the last token.
 */
export const postgresLedger: Ledger = { reserve, settle, release }

async function reserve(tx: Queryable, request: ReserveRequest): Promise<Reservation> {
  const budgets = budgetRows(request.limits, request.at)
  const id = hashId('res', request.invocationId, request.stepSeq, request.attempt)
  // In one breath: the second is answered after the first, whose rows are locked by then.
  const [, { rows }] = await Promise.all([
    lockBudgets(tx, budgets, request.at),
    tx.query<{
      opened: boolean
      rank: number | null
      dimension: 'tokens' | 'cost' | null
      remaining: number | null
      level: number
      level_rank: number | null
    }>(sql.reserve, [
      JSON.stringify(budgets.map((budget) => budget.id)),
      request.tokens,
      request.costMicros,
      id,
      request.invocationId,
      request.stepSeq,
      request.attempt,
      request.owner,
      request.leaseEpoch,
      request.expiresAt,
      request.at,
      request.headroom?.tokens ?? 0,
      request.headroom?.costMicros ?? 0,
      levelNames.indexOf(request.madeFor ?? 'spent'),
    ]),
  ])
  const [answer] = rows
  const standing: Standing = {
    level: levelNames[answer?.level ?? 0] ?? 'spent',
    limit: (answer?.level_rank !== null && answer && budgets[answer.level_rank]?.limit) || null,
  }
  if (request.madeFor && levelNames.indexOf(standing.level) > levelNames.indexOf(request.madeFor)) {
    return { kind: 'degraded', standing }
  }
  const limit = answer?.rank === null || answer?.rank === undefined ? undefined : budgets[answer.rank]?.limit
  if (limit && answer?.dimension) {
    const need = answer.dimension === 'tokens' ? request.tokens : request.costMicros
    return { kind: 'refused', limit, dimension: answer.dimension, left: answer.remaining ?? 0, need }
  }
  if (answer?.opened) return { kind: 'reserved', id, budgetIds: budgets.map((budget) => budget.id), standing }
  return existing(tx, id, standing)
}

/** Makes what is missing, and locks all of them in the lock order. */
export async function lockBudgets(tx: Queryable, budgets: readonly BudgetRow[], at: Date): Promise<void> {
  const columns = budgets.map((budget) => ({ ...budget, limit: undefined, rank: undefined }))
  await tx.query(sql.lockBudgets, [JSON.stringify(columns), at])
}

/** The same step and attempt was reserved before: while it is open the answer is the same, afterwards it takes a new attempt. */
async function existing(tx: Queryable, id: string, standing: Standing): Promise<Reservation> {
  const { rows } = await tx.query<{ state: string; budget_ids: readonly string[] }>(sql.readReservation, [id])
  const [row] = rows
  if (row?.state === 'OPEN') return { kind: 'reserved', id, budgetIds: row.budget_ids, standing }
  const why = `reservation ${id} is already ${row?.state ?? 'gone'}; a further call is a new attempt`
  throw new GuildError('GUILD_LEDGER_IMBALANCE', { why })
}

async function settle(tx: Queryable, record: UsageRecord): Promise<Settlement> {
  const [, { rows }] = await Promise.all([
    tx.query(sql.lockReserved, [[record.reservationId]]),
    tx.query<{
      known: boolean
      estimate_error: number | null
      reserved_tokens: number | null
      alerts: readonly BudgetAlert[]
    }>(sql.settle, [JSON.stringify(usageRow(record))]),
  ])
  const [answer] = rows
  if (!answer?.known) {
    throw new GuildError('GUILD_LEDGER_IMBALANCE', { why: `there is no reservation ${record.reservationId} to settle` })
  }
  return {
    alerts: answer.alerts,
    estimateError: (answer.estimate_error ?? 0) / Math.max(1, answer.reserved_tokens ?? 0),
  }
}

async function release(tx: Queryable, reservationId: string): Promise<void> {
  await giveBack(tx, [reservationId], null)
}

/** @returns how many were still open */
export async function giveBack(tx: Queryable, ids: readonly string[], now: Date | null): Promise<number> {
  if (ids.length === 0) return 0
  await tx.query(sql.lockReserved, [ids])
  const { rows } = await tx.query<{ released: number }>(sql.release, [ids, now])
  return rows[0]?.released ?? 0
}

function usageRow({ usage, ...record }: UsageRecord): object {
  return {
    reservation_id: record.reservationId,
    usage_id: record.reservationId.replace(/^res_/, 'use_'),
    agent_id: record.agentId,
    chapter: record.chapter,
    event_id: record.eventId,
    provider: record.provider,
    model: record.model,
    price_version: record.priceVersion,
    input_nocache: usage.inputNocache,
    input_cache_read: usage.inputCacheRead,
    input_cache_write: usage.inputCacheWrite,
    output_text: usage.outputText,
    output_reasoning: usage.outputReasoning,
    raw: usage.raw,
    cost_micros: record.costMicros,
    estimated: record.estimated,
    input_bytes: record.inputBytes,
    degradations: record.degradations ?? {},
    at: record.at,
  }
}

/** In lock order; `rank` is the place in that order, so the widest limit without room is the one that refuses. */
export function budgetRows(limits: readonly BudgetLimit[], at: Date): readonly BudgetRow[] {
  return limits
    .map((limit) => {
      const period = periodOf(limit.kind, at)
      return { limit, period, id: budgetId(limit, period) }
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ limit, period, id }, rank) => ({
      limit,
      rank,
      id,
      entity_type: limit.entityType,
      entity_id: limit.entityId,
      limit_kind: limit.kind,
      period_start: period.start,
      period_end: period.end,
      budget_tokens: limit.tokens,
      cost_limit_micros: limit.costMicros,
    }))
}

export interface BudgetRow {
  readonly limit: BudgetLimit
  readonly rank: number
  readonly id: string
  readonly entity_type: string
  readonly entity_id: string
  readonly limit_kind: string
  readonly period_start: Date
  readonly period_end: Date
  readonly budget_tokens: number | null
  readonly cost_limit_micros: number | null
}
