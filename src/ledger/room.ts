import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { budgetLevel } from './budgets.ts'
import { type BudgetLimit, levelNames, type Standing } from './ledger.ts'
import { budgetId, periodOf } from './period.ts'

const sql = statements(import.meta.url, './room.sql', ['readRoom'])

export interface Room {
  readonly limit: BudgetLimit
  /** null: not limited. Grants are counted in; what is reserved is taken off. */
  readonly tokens: number | null
  readonly costMicros: number | null
}

export interface BudgetLevels {
  /** the worst of organisation, chapter and agent */
  readonly standing: Standing
  /** in the order of the limits given */
  readonly room: readonly Room[]
}

/**
 * Where the budgets of a run stand now: one statement, no lock. What is decided by it is decided again, under the lock, by `reserve`.
 * A budget that nobody has used yet is as large as its limit.
 */
export async function budgetLevels(db: Queryable, limits: readonly BudgetLimit[], at: Date): Promise<BudgetLevels> {
  const ids = limits.map((limit) => budgetId(limit, periodOf(limit.kind, at)))
  const { rows } = await db.query<RoomRow>(sql.readRoom, [ids])
  const known = new Map(rows.map((row) => [row.id, row]))
  let standing: Standing = { level: 'green', limit: null }
  const room = limits.map((limit, index): Room => {
    const row = known.get(ids[index] ?? '')
    const costLimit = strictest(limit, row)
    const tokens = limit.tokens === null ? null : limit.tokens + (row?.granted_tokens ?? 0)
    const costMicros = costLimit === null ? null : costLimit + (row?.granted_cost_micros ?? 0)
    const level = budgetLevel({
      budget_tokens: tokens,
      consumed_tokens: row?.consumed_tokens ?? 0,
      cost_limit_micros: costMicros,
      consumed_cost_micros: row?.consumed_cost_micros ?? 0,
    })
    const counts = limit.entityType === 'organization' || limit.entityType === 'chapter' || limit.entityType === 'agent'
    if (counts && levelNames.indexOf(level) > levelNames.indexOf(standing.level)) standing = { level, limit }
    return {
      limit,
      tokens: tokens === null ? null : tokens - (row?.consumed_tokens ?? 0) - (row?.reserved_tokens ?? 0),
      costMicros:
        costMicros === null ? null : costMicros - (row?.consumed_cost_micros ?? 0) - (row?.reserved_cost_micros ?? 0),
    }
  })
  return { standing, room }
}

/** Is there room for a call of this size in every budget? @returns the first that has none */
export function noRoomFor(room: readonly Room[], need: { tokens: number; costMicros: number }): Room | null {
  return (
    room.find(
      ({ tokens, costMicros }) =>
        (tokens !== null && need.tokens > tokens) || (costMicros !== null && need.costMicros > costMicros),
    ) ?? null
  )
}

/** A tree keeps the strictest limit it was ever given. */
function strictest({ entityType, costMicros }: BudgetLimit, row: RoomRow | undefined): number | null {
  if (entityType !== 'tree' || !row || row.cost_limit_micros === null) return costMicros
  return costMicros === null ? row.cost_limit_micros : Math.min(costMicros, row.cost_limit_micros)
}

interface RoomRow {
  readonly id: string
  readonly granted_tokens: number
  readonly consumed_tokens: number
  readonly reserved_tokens: number
  readonly cost_limit_micros: number | null
  readonly granted_cost_micros: number
  readonly consumed_cost_micros: number
  readonly reserved_cost_micros: number
}
