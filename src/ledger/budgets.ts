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
  /** by people, on top of the limit of the Codex; the limits above count them in */
  readonly granted_tokens: number
  readonly granted_cost_micros: number
  /** used per hour in the last part of the period */
  readonly burn_tokens_per_hour: number
  readonly burn_cost_micros_per_hour: number
  /** when what is left is used up at this rate; null: not in this period, or not limited, or nothing is used */
  readonly exhausted_at: Date | null
  /** by what is consumed, in tokens or money, whichever is further */
  readonly level: BudgetLevel
  readonly alerts: readonly {
    readonly threshold: number
    readonly dimension: 'tokens' | 'cost'
    readonly degradations: readonly string[]
    readonly at: string
  }[]
}

type BudgetRow = Omit<Budget, 'level' | 'burn_tokens_per_hour' | 'burn_cost_micros_per_hour' | 'exhausted_at'> & {
  readonly since: Date
  readonly burnt_tokens: number
  readonly burnt_cost_micros: number
}

const hourMs = 3_600_000
/** A rate over less than this says nothing. */
const burnWindowMinMs = 15 * 60_000

/**
 * The budgets whose period `at` lies in, organisation first. Runs and causal trees have a budget each and are left out, unless one
 * is asked for by `{entityType: 'run', entityId}`. At most 500.
 */
export async function listBudgets(
  db: Queryable,
  at: Date,
  filter: { readonly entityType?: BudgetLimit['entityType']; readonly entityId?: string } = {},
): Promise<readonly Budget[]> {
  const { rows } = await db.query<BudgetRow>(sql.listBudgets, [at, filter.entityType ?? null, filter.entityId ?? null])
  return rows.map((row) => budgetOf(row, at))
}

function budgetOf(row: BudgetRow, at: Date): Budget {
  const limits = withGrants(row)
  const hours = Math.max(burnWindowMinMs, at.getTime() - row.since.getTime()) / hourMs
  const burn = { tokens: row.burnt_tokens / hours, cost: row.burnt_cost_micros / hours }
  return {
    id: row.id,
    entity_type: row.entity_type,
    entity_id: row.entity_id,
    limit_kind: row.limit_kind,
    period_start: row.period_start,
    period_end: row.period_end,
    budget_tokens: limits.budget_tokens,
    consumed_tokens: row.consumed_tokens,
    reserved_tokens: row.reserved_tokens,
    cost_limit_micros: limits.cost_limit_micros,
    consumed_cost_micros: row.consumed_cost_micros,
    reserved_cost_micros: row.reserved_cost_micros,
    granted_tokens: row.granted_tokens,
    granted_cost_micros: row.granted_cost_micros,
    burn_tokens_per_hour: Math.round(burn.tokens),
    burn_cost_micros_per_hour: Math.round(burn.cost),
    exhausted_at: exhaustedAt({ ...row, ...limits }, burn, at),
    level: budgetLevel({ ...row, ...limits }),
    alerts: row.alerts,
  }
}

function withGrants(row: BudgetRow): Pick<Budget, 'budget_tokens' | 'cost_limit_micros'> {
  return {
    budget_tokens: row.budget_tokens === null ? null : row.budget_tokens + row.granted_tokens,
    cost_limit_micros: row.cost_limit_micros === null ? null : row.cost_limit_micros + row.granted_cost_micros,
  }
}

type Figures = Pick<Budget, 'budget_tokens' | 'consumed_tokens' | 'cost_limit_micros' | 'consumed_cost_micros'>

/** @param burn per hour. What is spent already is exhausted now; what lasts for its period is null. */
export function exhaustedAt(
  budget: Figures & Pick<Budget, 'period_end'>,
  burn: { readonly tokens: number; readonly cost: number },
  at: Date,
): Date | null {
  const hours = Math.min(
    hoursLeft(budget.budget_tokens, budget.consumed_tokens, burn.tokens),
    hoursLeft(budget.cost_limit_micros, budget.consumed_cost_micros, burn.cost),
  )
  const when = at.getTime() + hours * hourMs
  return when < budget.period_end.getTime() ? new Date(when) : null
}

function hoursLeft(limit: number | null, consumed: number, perHour: number): number {
  if (limit === null) return Number.POSITIVE_INFINITY
  if (consumed >= limit) return 0
  return perHour > 0 ? (limit - consumed) / perHour : Number.POSITIVE_INFINITY
}

/** Yellow from 75 %, orange from 90 %, red from 95 % (design: the governor), spent from 100 %. A limit of 0 is spent. */
export function budgetLevel(budget: Figures): BudgetLevel {
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
