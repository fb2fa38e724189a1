import { auditMessage } from '../audit/audit.ts'
import { recordDecisions } from '../audit/decisions.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Codex } from '../codex/snapshot.ts'
import type { Database, Queryable } from '../database/database.ts'
import { type GrantedRun, resumeRun, runForGrant } from '../executor/resume.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import { hashId } from '../kernel/ids.ts'
import { agentTopic, topics } from '../kernel/topics.ts'
import { addGrant } from '../ledger/grants.ts'
import type { BudgetLimit } from '../ledger/ledger.ts'
import { budgetLimits } from '../ledger/limits.ts'

export interface GrantRequest {
  readonly target:
    | { readonly kind: 'run'; readonly id: string }
    | { readonly kind: 'agent' | 'chapter'; readonly id: string }
    | { readonly kind: 'organization' }
  readonly tokens: number
  readonly costMicros: number
  readonly reason: string | null
  /** the same key is the same grant */
  readonly key: string
  /** `person:ada` */
  readonly by: string
}

export interface Granted {
  readonly id: string
  /** budgets that were raised; none: this grant had been given before */
  readonly raised: readonly string[]
  /** a run that had stopped and goes on now */
  readonly resumed: string | null
}

export interface GrantDeps {
  readonly database: Database
  readonly outbox: Pick<Outbox, 'add'>
  readonly codex: Pick<Codex, 'current'>
  readonly clock: Clock
  readonly organisation: string
}

/**
 * A person gives more than the Codex does: to a run, or to an agent, a chapter or the organisation for the running periods. A run gets
 * it for itself and, where another level had stopped it, for that level too; then it goes on from its journal. Budgets, run, decision
 * and audit entry change in one transaction, and its message leaves with it (row first, message second).
 * @throws GUILD_NOT_FOUND, GUILD_GRANT_REFUSED
 */
export async function grant(deps: GrantDeps, request: GrantRequest): Promise<Granted> {
  const { database, clock } = deps
  const { target, tokens, costMicros, by, reason } = request
  const at = clock.now()
  const id = hashId('gra', target.kind, 'id' in target ? target.id : '', request.key, by)
  return database.transaction(async (tx) => {
    const run = target.kind === 'run' ? await runForGrant(tx, target.id) : null
    const limits = limitsFor(deps, request, run)
    const raised = await addGrant(tx, { id, limits, tokens, costMicros, invocationId: run?.id ?? null, by, reason, at })
    if (raised.length === 0) return { id, raised, resumed: null }
    const resumed = run?.stoppedBy ? run.id : null
    if (run) await resumeRun(tx, run, tokens, costMicros)
    if (run && resumed) await announce(tx, deps, run, id)
    await record(tx, deps, request, { id, raised, resumed }, run, at)
    return { id, raised, resumed }
  })
}

function limitsFor({ codex, organisation }: GrantDeps, { target }: GrantRequest, run: GrantedRun | null) {
  const snapshot = codex.current()
  const all = (agentId: string | null, chapter: string | null, of: GrantedRun | null): readonly BudgetLimit[] => {
    const agent = agentId === null ? [...snapshot.agents.values()][0] : snapshot.agents.get(agentId)
    if (!agent) throw new GuildError('GUILD_NOT_FOUND', { what: 'agent', id: agentId ?? '' })
    const invocation = { invocationId: of?.id ?? '', causalRoot: of?.causal_root ?? '' }
    return budgetLimits(snapshot, agent, chapter, organisation, invocation)
  }
  if (run) {
    const agent = snapshot.agents.get(run.agent_id)
    const chapter = run.chapter ?? agent?.manifest.metadata.chapter ?? null
    return all(run.agent_id, chapter, run).filter(
      ({ entityType }) => entityType === 'run' || entityType === run.stoppedBy,
    )
  }
  if (target.kind === 'chapter' && !snapshot.chapters.has(target.id)) {
    throw new GuildError('GUILD_NOT_FOUND', { what: 'chapter', id: target.id })
  }
  const agentId = target.kind === 'agent' ? target.id : null
  const chapter = target.kind === 'chapter' ? target.id : null
  return all(agentId, chapter, null).filter(({ entityType }) => entityType === target.kind)
}

/** A new message: the bus has delivered the first one, and remembers its id. */
async function announce(tx: Queryable, { outbox }: GrantDeps, run: GrantedRun, grantId: string): Promise<void> {
  const message = {
    id: hashId('msg', 'grant', grantId),
    priority: run.priority,
    body: { invocation_id: run.id },
  }
  await outbox.add(tx, agentTopic(run.agent_id), [message])
}

async function record(
  tx: Queryable,
  { outbox, codex }: GrantDeps,
  { target, tokens, costMicros, reason, by }: GrantRequest,
  { id, raised, resumed }: Granted,
  run: GrantedRun | null,
  at: Date,
): Promise<void> {
  const what = [tokens > 0 && `${tokens} tokens`, costMicros > 0 && `${costMicros} micro-USD`]
  const whom = target.kind === 'organization' ? 'the organisation' : `${target.kind} ${target.id}`
  const text = `${by} granted ${what.filter(Boolean).join(' and ')} to ${whom}${reason ? `: ${reason}` : ''}`
  const { commit } = codex.current()
  await recordDecisions(tx, [
    {
      at: at.toISOString(),
      stage: 'budget',
      outcome: 'GRANTED',
      event_id: run?.event_id ?? null,
      agent_id: run?.agent_id ?? (target.kind === 'agent' ? target.id : null),
      invocation_id: run?.id ?? null,
      codex_commit: commit,
      reason: resumed ? `${text}; the run goes on from its journal` : text,
      // Whether a run is over no more is counted by it (0027_tallies.sql).
      detail: { grant: id, budgets: [...raised], tokens, cost_micros: costMicros, resumed: resumed !== null },
    },
  ])
  await outbox.add(tx, topics.audit, [
    auditMessage({
      id: hashId('aud', 'BUDGET_GRANTED', id),
      timestamp: at.toISOString(),
      event_type: 'BUDGET_GRANTED',
      agent_id: run?.agent_id ?? null,
      source_event_id: run?.event_id.slice(0, 100) ?? null,
      payload: {
        grant: id,
        target: { ...target },
        budgets: [...raised],
        tokens,
        cost_micros: costMicros,
        reason,
        resumed,
      },
      result: 'SUCCESS',
      trace_id: run?.trace_id ?? null,
      invocation_id: run?.id ?? null,
      actor: by,
      codex_commit: commit,
    }),
  ])
}
