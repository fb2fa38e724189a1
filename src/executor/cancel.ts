import { auditMessage } from '../audit/audit.ts'
import { recordDecisions } from '../audit/decisions.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Priority } from '../kernel/event.ts'
import { hashId } from '../kernel/ids.ts'
import { agentTopic, topics } from '../kernel/topics.ts'

const sql = statements(import.meta.url, './cancel.sql', ['cancel', 'look'])

export interface CancelDeps {
  readonly database: Database
  readonly outbox: Pick<Outbox, 'add'>
  readonly clock: Clock
}

export interface CancelRequest {
  readonly id: string
  /** `person:ada` */
  readonly by: string
  readonly note: string | null
}

export interface Cancelled {
  readonly id: string
  /** what the run did when it was told */
  readonly was: string
  /** false: it had been told before */
  readonly told: boolean
}

interface Row {
  readonly agent_id: string
  readonly event_id: string
  readonly trace_id: string
  readonly priority: Priority
  readonly codex_commit: string
  readonly was: string
}

/**
 * A person ends a run. One that is queued or waits is sent to a worker at once and ends without doing anything more; one that runs ends
 * at its next edge: the step under way is finished and journaled, a model call that was only reserved is not made. Actions accepted
 * before stay; `guild undo --run` takes them back. The row, the decision, the audit entry and the message are one transaction.
 * @throws GUILD_NOT_FOUND; GUILD_RUN_OVER when nothing is left to cancel
 */
export async function cancelRun(deps: CancelDeps, { id, by, note }: CancelRequest): Promise<Cancelled> {
  const at = deps.clock.now().toISOString()
  const reason = note === null ? `cancelled by ${by}` : `cancelled by ${by}: ${note}`
  return deps.database.transaction(async (tx) => {
    const { rows } = await tx.query<Row>(sql.cancel, [id, reason])
    const [run] = rows
    if (!run) return { id, was: await toldBefore(tx, id), told: false }
    const { agent_id, event_id, trace_id, priority, codex_commit, was } = run
    const decision = { at, stage: 'run', outcome: 'CANCELLED', reason: `${reason}; it was ${was}` } as const
    await recordDecisions(tx, [{ ...decision, event_id, agent_id, invocation_id: id, codex_commit }])
    await deps.outbox.add(tx, topics.audit, [
      auditMessage({
        id: hashId('aud', 'RUN_CANCELLED', id, at),
        timestamp: at,
        event_type: 'RUN_CANCELLED',
        agent_id,
        source_event_id: event_id,
        payload: { was, note },
        result: 'SUCCESS',
        trace_id,
        invocation_id: id,
        actor: by,
        codex_commit,
      }),
    ])
    const message = { id: hashId('msg', 'cancel', id, at), priority, body: { invocation_id: id } }
    // A worker has it: another message would only wait for the lease.
    if (was !== 'RUNNING') await deps.outbox.add(tx, agentTopic(agent_id), [message])
    return { id, was, told: true }
  })
}

async function toldBefore(tx: Queryable, id: string): Promise<string> {
  const { rows } = await tx.query<{ state: string; cancel: string | null }>(sql.look, [id])
  const [run] = rows
  if (!run) throw new GuildError('GUILD_NOT_FOUND', { what: 'run', id })
  if (run.cancel === null || /^(?:COMPLETED|STOPPED|FAILED|DEAD)$/.test(run.state))
    throw new GuildError('GUILD_RUN_OVER', { id, state: run.state })
  return run.state
}
