import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import type { BudgetLimit } from './ledger.ts'
import { budgetRows, lockBudgets } from './postgres-ledger.ts'

const sql = statements(import.meta.url, './grants.sql', ['addGrants', 'readGranted', 'sameGrant', 'listGrants'])

export interface Grant {
  /** from the caller's key: the same grant twice is one */
  readonly id: string
  /** limits to be raised, each for its running period; those without a limit in what is granted are left alone */
  readonly limits: readonly BudgetLimit[]
  /** 0: none */
  readonly tokens: number
  readonly costMicros: number
  readonly invocationId: string | null
  /** `person:ada` */
  readonly by: string
  readonly reason: string | null
  readonly at: Date
}

export interface GrantRow {
  readonly id: string
  readonly budget_id: string
  readonly entity_type: string
  readonly entity_id: string
  readonly limit_kind: string
  readonly period_end: Date
  readonly tokens: number
  readonly cost_micros: number
  readonly invocation_id: string | null
  readonly granted_by: string
  readonly reason: string | null
  readonly at: Date
}

/** All grants on one budget together may at most multiply its limit by this: more is a change of policy, which belongs in the Codex. */
export const grantedTimesMax = 10

/**
 * Raises limits for their running period, in the lock order of every other operation. In the caller's transaction.
 * @returns the ids of the budgets that were raised; none: the same grant was given before
 * @throws GUILD_GRANT_REFUSED when nothing is limited, when it would be too much, or when the id stands for another grant
 */
export async function addGrant(tx: Queryable, grant: Grant): Promise<readonly string[]> {
  const limits = grant.limits.filter(
    ({ tokens, costMicros }) => (grant.tokens > 0 && tokens !== null) || (grant.costMicros > 0 && costMicros !== null),
  )
  if (limits.length === 0) throw refused('there is no limit of that kind to raise')
  const budgets = budgetRows(limits, grant.at)
  await lockBudgets(tx, budgets, grant.at)
  const before = await tx.query<SameRow>(sql.sameGrant, [grant.id])
  const [same] = before.rows
  if (same && same.count > 0) {
    const equal =
      same.invocation_id === grant.invocationId && same.tokens <= grant.tokens && same.cost_micros <= grant.costMicros
    if (equal) return []
    throw refused('its key was used for another grant')
  }
  const found = await tx.query<GrantedRow>(sql.readGranted, [budgets.map(({ id }) => id)])
  for (const row of found.rows) requireBounded(row, grant)
  const rows = budgets.map(({ id, limit }) => ({
    id: grant.id,
    budget_id: id,
    tokens: limit.tokens === null ? 0 : grant.tokens,
    cost_micros: limit.costMicros === null ? 0 : grant.costMicros,
    invocation_id: grant.invocationId,
    granted_by: grant.by,
    reason: grant.reason,
    at: grant.at,
  }))
  await tx.query(sql.addGrants, [JSON.stringify(rows)])
  return budgets.map(({ id }) => id)
}

/** Newest first. */
export async function listGrants(db: Queryable, limit: number): Promise<readonly GrantRow[]> {
  const { rows } = await db.query<GrantRow>(sql.listGrants, [limit])
  return rows
}

function requireBounded(row: GrantedRow, grant: Grant): void {
  const over = (limit: number | null, granted: number, more: number) =>
    limit !== null && more > 0 && granted + more > limit * grantedTimesMax
  if (
    over(row.budget_tokens, row.granted_tokens, grant.tokens) ||
    over(row.cost_limit_micros, row.granted_cost_micros, grant.costMicros)
  ) {
    throw refused(`${row.id} would be raised to more than ${grantedTimesMax} times its limit; change the limit instead`)
  }
}

function refused(why: string): GuildError {
  return new GuildError('GUILD_GRANT_REFUSED', { why })
}

interface SameRow {
  readonly tokens: number
  readonly cost_micros: number
  readonly invocation_id: string | null
  readonly count: number
}

interface GrantedRow {
  readonly id: string
  readonly budget_tokens: number | null
  readonly cost_limit_micros: number | null
  readonly granted_tokens: number
  readonly granted_cost_micros: number
}
