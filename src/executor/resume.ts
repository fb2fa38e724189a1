import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Priority } from '../kernel/event.ts'
import { GuildError } from '../kernel/errors.ts'
import type { BudgetLimit } from '../ledger/ledger.ts'
import type { EndReason } from './ending.ts'

const sql = statements(import.meta.url, './resume.sql', ['look', 'resume', 'listStopped'])

/** Which budgets stopped a run. */
const stoppedBy: Readonly<Partial<Record<EndReason, BudgetLimit['entityType']>>> = {
  BUDGET_ORG: 'organization',
  BUDGET_CHAPTER: 'chapter',
  BUDGET_AGENT: 'agent',
  CAUSAL_DEPTH: 'tree',
  BUDGET_RUN: 'run',
}

export interface GrantedRun {
  readonly id: string
  readonly agent_id: string
  readonly chapter: string | null
  readonly event_id: string
  readonly trace_id: string
  readonly causal_root: string
  readonly priority: Priority
  readonly state: string
  readonly reason: EndReason | null
  readonly codex_commit: string
  readonly finished_at: Date | null
  readonly journal_forgotten: boolean
  /** the level that stopped it; null: it has not stopped */
  readonly stoppedBy: BudgetLimit['entityType'] | null
}

/**
 * Reads the run a grant is for. Only one that a budget has stopped, or that is not over yet, can use one.
 * @throws GUILD_NOT_FOUND, GUILD_GRANT_REFUSED
 */
export async function runForGrant(tx: Queryable, id: string): Promise<GrantedRun> {
  const { rows } = await tx.query<Omit<GrantedRun, 'stoppedBy'>>(sql.look, [id])
  const [run] = rows
  if (!run) throw new GuildError('GUILD_NOT_FOUND', { what: 'run', id })
  const level = run.state === 'STOPPED' && run.reason ? (stoppedBy[run.reason] ?? null) : null
  const over = run.state === 'COMPLETED' || run.state === 'STOPPED' || run.state === 'FAILED' || run.state === 'DEAD'
  if (over && level === null) {
    const why = `the run is ${run.state}${run.reason ? ` (${run.reason})` : ''}, and not for want of a budget`
    throw new GuildError('GUILD_GRANT_REFUSED', { why })
  }
  if (run.journal_forgotten) {
    const why = 'its journal keeps only hashes (retention of the manifest), so there is nothing to go on from'
    throw new GuildError('GUILD_GRANT_REFUSED', { why })
  }
  return { ...run, stoppedBy: level }
}

/** The run counts with the grant, and is to be claimed again if it had stopped. The caller sends its message in the same transaction. */
export async function resumeRun(
  tx: Queryable,
  { id, state }: GrantedRun,
  tokens: number,
  costMicros: number,
): Promise<void> {
  // Not locked before the budgets: everybody locks budgets first and the row of a run last.
  const { rows } = await tx.query(sql.resume, [id, tokens, costMicros, state])
  if (rows.length === 0) {
    throw new GuildError('GUILD_GRANT_REFUSED', { why: `the run ${id} is not ${state} any more; look again` })
  }
}

/** What stands on the desk as a budget grant that somebody may give. */
export interface StoppedRun {
  readonly id: string
  readonly agent_id: string
  readonly chapter: string | null
  readonly event_id: string
  readonly event_type: string
  readonly subject_id: string
  readonly causal_root: string
  readonly priority: string
  readonly reason: string
  readonly reason_detail: string | null
  readonly finished_at: Date
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cost_micros: number
}

/** Stopped by a budget within seven days, newest first. */
export async function listStopped(db: Queryable, limit: number): Promise<readonly StoppedRun[]> {
  const { rows } = await db.query<StoppedRun>(sql.listStopped, [limit])
  return rows
}
