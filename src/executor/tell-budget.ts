import { auditMessage } from '../audit/audit.ts'
import { recordDecisions, type Decision } from '../audit/decisions.ts'
import type { Queryable } from '../database/database.ts'
import { hashId } from '../kernel/ids.ts'
import { topics } from '../kernel/topics.ts'
import type { BudgetAlert, Settlement } from '../ledger/ledger.ts'
import type { Run } from './run-context.ts'

/** A call that passes its worst case by more than this share says that the bound is wrong. */
const estimateErrorMax = 0.05

/**
 * What a settled call has set off, in the transaction that settles it: thresholds passed, each told once per period as decision and
 * audit entry, and a worst case that was too low. Most calls set off nothing, and this writes nothing.
 */
export async function tellBudget(run: Run, tx: Queryable, settled: Settlement, model: string): Promise<void> {
  const { deps, journal } = run
  const { id, event_id, agent_id, codex_commit } = journal.invocation
  const about = { at: journal.at, event_id, agent_id, invocation_id: id, codex_commit, stage: 'budget' } as const
  const decisions = settled.alerts.map((alert): Decision => ({
    ...about,
    outcome: 'ALERT',
    reason: alertText(alert),
    detail: { ...alert },
  }))
  if (settled.estimateError > estimateErrorMax) {
    const percent = Math.round(settled.estimateError * 1_000) / 10
    const reason = `${model} used ${percent} % more tokens than its worst case: the bound of its input is too low`
    decisions.push({ ...about, outcome: 'ESTIMATE_ERROR', reason, detail: { model, share: settled.estimateError } })
    deps.log.warn({ invocationId: id, agentId: agent_id, model, percent }, 'a call passed its worst case')
  }
  if (decisions.length === 0) return
  await recordDecisions(tx, decisions)
  const audit = settled.alerts.map((alert) => auditMessage(auditEntry(run, alert)))
  if (audit.length > 0) await deps.outbox.add(tx, topics.audit, audit)
}

export function alertText({ entityType, entityId, kind, threshold, dimension, degradations }: BudgetAlert): string {
  const what =
    entityType === 'tree' ? `the causal tree of ${entityId}` : `the ${kind} budget of ${entityType} ${entityId}`
  const effect = degradations.length > 0 ? `; in force: ${degradations.join(', ')}` : ''
  return `${what} has passed ${threshold} % of its ${dimension === 'tokens' ? 'tokens' : 'money'}${effect}`
}

function auditEntry({ journal }: Run, alert: BudgetAlert) {
  const { id, agent_id, event_id, trace_id, codex_commit } = journal.invocation
  return {
    id: hashId('aud', 'BUDGET_ALERT', alert.budgetId, alert.threshold, alert.dimension),
    timestamp: journal.at,
    event_type: 'BUDGET_ALERT',
    agent_id,
    source_event_id: event_id,
    payload: { ...alert },
    trace_id,
    invocation_id: id,
    actor: 'system:ledger',
    codex_commit,
  }
}
