import type { Queryable } from '../../src/database/database.ts'
import { statements } from '../../src/database/statements.ts'
import { repository } from './target.ts'

const sql = statements(import.meta.url, './reconcile.sql', ['runs', 'claims', 'audited'])

interface RunRow {
  readonly subject_id: string
  readonly disposition: string
  readonly invocation_id: string | null
  readonly run_state: string | null
  readonly attempts: number | null
  readonly reason_detail: string | null
  readonly action_id: string | null
  readonly action_state: string | null
  readonly action_reason: string | null
  readonly calls: number | null
  readonly probes: number | null
  readonly confirmed_by: string | null
}

export interface ClaimRow {
  readonly id: string
  readonly finished_at: Date | null
  readonly claimed_at: readonly string[]
}

/** What the database of the guild says, read after it has stopped. */
export interface Books {
  readonly events: number
  readonly runs: Readonly<Record<string, number>>
  readonly actions: Readonly<Record<string, number>>
  /** actions whose outcome was looked up at the target */
  readonly probed: number
  readonly audited: Readonly<Record<string, { readonly rows: number; readonly again: number }>>
  readonly claims: readonly ClaimRow[]
  /** one line each, the first hundred: what does not fit to one event, one run, one action */
  readonly misfits: readonly string[]
}

const misfitsMax = 100

export async function readBooks(database: Queryable, accepted: readonly number[]): Promise<Books> {
  const { rows } = await database.query<RunRow>(sql.runs, [`${repository}#`])
  const bySubject = Map.groupBy(rows, (row) => row.subject_id)
  const audited = await database.query<{ event_type: string; rows: number; again: number }>(sql.audited)
  const misfits = accepted.flatMap((issue) => misfitsOf(issue, bySubject.get(`${repository}#${issue}`) ?? []))
  return {
    events: bySubject.size,
    runs: tally(rows.map(({ run_state }) => run_state)),
    actions: tally(rows.map(({ action_state }) => action_state)),
    probed: rows.filter(({ probes, confirmed_by }) => (probes ?? 0) > 0 || confirmed_by === 'probe').length,
    audited: Object.fromEntries(
      audited.rows.map(({ event_type, rows: count, again }) => [event_type, { rows: count, again }]),
    ),
    claims: (await database.query<ClaimRow>(sql.claims)).rows,
    misfits: misfits.slice(0, misfitsMax),
  }
}

/** Accepted is a promise: one event, one run that completed, one action that succeeded. */
function misfitsOf(issue: number, rows: readonly RunRow[]): readonly string[] {
  const [row] = rows
  if (!row) return [`#${issue}: accepted, and no event`]
  if (rows.length > 1) return [`#${issue}: ${rows.length} runs or actions`]
  if (row.run_state !== 'COMPLETED')
    return [
      `#${issue}: ${row.disposition}, run ${row.run_state ?? 'none'} ${row.reason_detail ?? ''} (${row.invocation_id ?? ''})`,
    ]
  if (row.action_state !== 'SUCCEEDED')
    return [`#${issue}: action ${row.action_state ?? 'none'} ${row.action_reason ?? ''} (${row.action_id ?? ''})`]
  return []
}

function tally(values: readonly (string | null)[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const value of values) counts[value ?? 'none'] = (counts[value ?? 'none'] ?? 0) + 1
  return counts
}
