import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { BudgetLevel, BudgetLimit } from './ledger.ts'

const sql = statements(import.meta.url, './budgets.sql', ['listBudgets'])

/** One budget in its running period, as API and CLI show it. */
export interface Budget {
  readonly id: string
  readonly entity_type: BudgetLimit['entityType']
  readonly entity_id: string
  readonly limit_kind: BudgetLimit['kind']
  readonly period_start: Date
  readonly period_end: Date
  /** null: counted, not limited */
  readonly budget_tokens: number | null
  readonly consumed_tokens: number
  readonly reserved_tokens: number
  readonly cost_limit_micros: number | null
  readonly consumed_cost_micros: number
  readonly reserved_cost_micros: number
  /** by what is consumed, in tokens or money, whichever is further */
  readonly level: BudgetLevel
  readonly alerts: readonly {
    readonly threshold: number
    readonly dimension: 'tokens' | 'cost'
    readonly at: string
  }[]
}

type BudgetRow = Omit<Budget, 'level'>

/**
 * The budgets whose period `at` lies in, organisation first. Runs have a budget each and are left out, unless one is asked for by
 * `{entityType: 'run', entityId}`. At most 500.
 */
export async function listBudgets(
  db: Queryable,
  at: Date,
  filter: { readonly entityType?: BudgetLimit['entityType']; readonly entityId?: string } = {},
): Promise<readonly Budget[]> {
  const { rows } = await db.query<BudgetRow>(sql.listBudgets, [at, filter.entityType ?? null, filter.entityId ?? null])
  return rows.map((row) => ({
    id: row.id,
    entity_type: row.entity_type,
    entity_id: row.entity_id,
    limit_kind: row.limit_kind,
    period_start: row.period_start,
    period_end: row.period_end,
    budget_tokens: row.budget_tokens,
    consumed_tokens: row.consumed_tokens,
    reserved_tokens: row.reserved_tokens,
    cost_limit_micros: row.cost_limit_micros,
    consumed_cost_micros: row.consumed_cost_micros,
    reserved_cost_micros: row.reserved_cost_micros,
    level: budgetLevel(row),
    alerts: row.alerts,
  }))
}

/** Yellow from 75 %, orange from 90 %, red from 95 % (design: the governor), spent from 100 %. A limit of 0 is spent. */
export function budgetLevel(
  budget: Pick<Budget, 'budget_tokens' | 'consumed_tokens' | 'cost_limit_micros' | 'consumed_cost_micros'>,
): BudgetLevel {
  const percent = Math.max(
    share(budget.consumed_tokens, budget.budget_tokens),
    share(budget.consumed_cost_micros, budget.cost_limit_micros),
  )
  if (percent >= 100) return 'spent'
  if (percent >= 95) return 'red'
  if (percent >= 90) return 'orange'
  return percent >= 75 ? 'yellow' : 'green'
}

function share(consumed: number, limit: number | null): number {
  if (limit === null) return 0
  return limit === 0 ? 100 : (consumed * 100) / limit
}
