import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'

const sql = statements(import.meta.url, './verify.sql', ['findProblems', 'readTotals'])

export interface LedgerTotals {
  readonly budgets: number
  readonly calls: number
  /** calls lost in a crash, whose input is charged by estimate */
  readonly estimated_calls: number
  readonly tokens: number
  readonly cost_micros: number
  readonly open_reservations: number
  readonly reserved_tokens: number
  readonly reserved_cost_micros: number
  /** calls that used more than was reserved; each is charged in full */
  readonly calls_over_estimate: number
}

export interface LedgerReport {
  readonly ok: boolean
  /** at most 100, each beginning with the id of the row */
  readonly problems: readonly string[]
  readonly totals: LedgerTotals
}

/**
 * Checks, from the rows alone: consumed = sum of usage and reserved = sum of open reservations, per budget, in tokens and money;
 * nothing negative; every settled reservation has its usage and every usage its reservation. Reads the whole ledger.
 */
export async function verifyLedger(db: Queryable): Promise<LedgerReport> {
  const found = await db.query<{ id: string; problem: string }>(sql.findProblems)
  const problems = found.rows.map(({ id, problem }) => `${id}: ${problem}`)
  const { rows } = await db.query<LedgerTotals>(sql.readTotals)
  const [totals] = rows
  if (!totals) throw new TypeError('readTotals always has one row')
  return { ok: problems.length === 0, problems, totals }
}
