import { recordDecisions } from '../audit/decisions.ts'
import type { CompiledAgent } from '../codex/snapshot.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import { durationMs } from '../kernel/duration.ts'
import type { Priority } from '../kernel/event.ts'
import { agentTopic } from '../kernel/topics.ts'
import type { ExecutorDeps } from './executor-deps.ts'
import type { Journal } from './journal.ts'

const sql = statements(import.meta.url, './admission.sql', [
  'blockers',
  'hold',
  'wakeNext',
  'openBreaker',
  'closeBreaker',
])

/** What a run waits for before it may start. */
export interface Blocker {
  /** a run, or `breaker` */
  readonly by: string
  readonly reason: string
  readonly predictedStart: Date | null
  readonly notBefore: Date | null
}

export interface BlockerFacts {
  readonly agent_id: string
  readonly slot_key: string | null
  readonly slots_max: number | null
  /** null: the agent has no breaker, or the run began before */
  readonly failures: number | null
  readonly retry_at: Date | null
  readonly probe: string | null
  readonly resting: boolean | null
  readonly busy: number
  readonly holder: string | null
  /** runs of the key that stand before it in line */
  readonly ahead: number
  readonly next: string | null
  readonly slot_at: Date | null
}

/** null: nothing stands in the way any more. Pure. */
export function blockerOf(facts: BlockerFacts): Blocker | null {
  const { agent_id, failures, retry_at, probe, slots_max, slot_key, busy, ahead } = facts
  if (failures !== null && retry_at && facts.resting) {
    const reason = `${agent_id} is degraded: ${failures} runs failed in a short time; one run may show from ${retry_at.toISOString()} on whether it is well again (health in its manifest)`
    return { by: 'breaker', reason, predictedStart: retry_at, notBefore: retry_at }
  }
  if (slots_max !== null && busy + ahead >= slots_max) {
    const of = slot_key === '' ? agent_id : `${agent_id} for ${slot_key ?? ''}`
    const line = ahead > 0 ? `, ${ahead} before it in line` : ''
    return {
      by: facts.holder ?? facts.next ?? '',
      reason: `${busy} of ${slots_max} runs of ${of} are under way${line} (limits.concurrency)`,
      predictedStart: facts.slot_at,
      notBefore: null,
    }
  }
  if (probe !== null) {
    const reason = `${agent_id} is degraded: ${probe} shows now whether it is well again`
    return { by: probe, reason, predictedStart: null, notBefore: null }
  }
  return null
}

/**
 * A run that was not admitted waits as a row, with the reason, the holder and the likely start; its message is done with. The run that
 * frees the place wakes it, else the sweeper does.
 * @returns false: nothing stands in its way any more, or somebody has it
 */
export async function holdBack(database: Database, clock: Clock, id: string): Promise<boolean> {
  return database.transaction(async (tx) => {
    const { rows } = await tx.query<HeldRow>(sql.blockers, [id])
    const [run] = rows
    const blocker = run && blockerOf(run)
    if (!run || !blocker) return false
    const { by, reason, predictedStart, notBefore } = blocker
    const held = await tx.query(sql.hold, [id, by, reason, predictedStart, notBefore])
    if (held.rows.length === 0) return false
    if (run.held) return true
    const { agent_id, event_id, codex_commit, rule } = run
    const at = clock.now().toISOString()
    const detail = { held_by: by, predicted_start: predictedStart?.toISOString() ?? null }
    const what = { agent_id, event_id, codex_commit, rule, invocation_id: id }
    await recordDecisions(tx, [{ at, stage: 'admission', outcome: 'WAITS', ...what, reason, detail }])
    return true
  })
}

type HeldRow = BlockerFacts & {
  readonly held: boolean
  readonly event_id: string
  readonly codex_commit: string
  readonly rule: string
}

/** The end of a run, for others: its slot goes to the next in line, and the breaker of its agent opens or closes. In `tx`. */
export async function releaseAdmission(
  tx: Queryable,
  { outbox }: Pick<ExecutorDeps, 'outbox'>,
  journal: Journal,
  agent: CompiledAgent | null,
  state: string,
): Promise<void> {
  const { id, agent_id, slot_key, has_breaker } = journal.invocation
  if (slot_key !== null) {
    const { rows } = await tx.query<{ id: string; priority: Priority; queued_at: Date }>(sql.wakeNext, [
      agent_id,
      slot_key,
      id,
    ])
    const messages = rows.map((next) => ({
      id: next.id,
      priority: next.priority,
      body: { invocation_id: next.id },
      // It has stood in line already.
      notBefore: next.queued_at,
    }))
    if (messages.length > 0) await outbox.add(tx, agentTopic(agent_id), messages)
  }
  if (state !== 'FAILED' && state !== 'DEAD') {
    if (has_breaker && journal.cancelled === null) await tx.query(sql.closeBreaker, [agent_id])
    return
  }
  if (!agent) return
  const { failureThreshold, window, halfOpenAfter } = agent.manifest.spec.health
  const given = [agent_id, id, failureThreshold, durationMs(window), durationMs(halfOpenAfter)]
  const { rows } = await tx.query<{ retry_at: Date }>(sql.openBreaker, given)
  const [opened] = rows
  if (!opened) return
  const { event_id, codex_commit } = journal.invocation
  await recordDecisions(tx, [
    {
      at: journal.at,
      stage: 'admission',
      outcome: 'DEGRADED',
      event_id,
      agent_id,
      invocation_id: id,
      codex_commit,
      rule: `${agent.place.file}#health`,
      reason: `${failureThreshold} runs of ${agent_id} failed within ${window}: new runs wait until ${opened.retry_at.toISOString()}, then one shows whether it is well again`,
    },
  ])
}
