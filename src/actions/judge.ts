import type { Codex } from '../codex/snapshot.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import { actionPolicy, deniedBy } from '../guards/action-policy.ts'
import type { Clock } from '../kernel/clock.ts'
import { outboundVerdict, stricter } from '../guards/privacy/outbound.ts'
import { type Redactor, standardRedactor } from '../guards/privacy/redact.ts'
import type { JsonObject } from '../kernel/json.ts'
import { type EventFacts, isLive, outboundOf, policyInput, readsEvent, undoFacts } from './action-facts.ts'
import type { LaneHead } from './action-row.ts'
import { approvalHash } from './approval-hash.ts'

const sql = statements(import.meta.url, './judge.sql', ['eventFacts'])

export interface JudgeDeps {
  readonly codex: Pick<Codex, 'current'>
  readonly live: readonly string[]
  readonly clock: Pick<Clock, 'now'>
  readonly redactor?: Redactor
  readonly dryRun?: boolean
}

export type Judgement =
  | { readonly kind: 'run'; readonly shadow: boolean }
  | { readonly kind: 'ask'; readonly rule: string; readonly reason: string }
  | { readonly kind: 'deny'; readonly rule: string; readonly reason: string }

/**
 * The Codex that serves now looks at an action that was accepted before: pinned for behaviour, current for safety (runs.md 5). It may
 * only tighten: refuse, ask a person, or keep in shadow; an approval that does not bind exactly this action is none.
 */
export async function judge(db: Queryable, head: LaneHead, deps: JudgeDeps): Promise<Judgement> {
  const approved = head.approved_hash !== null
  if (approved && head.approved_hash !== approvalHash(head)) {
    return { kind: 'deny', rule: 'approval', reason: 'what was approved is not what would be sent' }
  }
  if (!approved && head.receipt.status === 'needs_approval') {
    return { kind: 'deny', rule: 'approval', reason: 'nobody has approved it' }
  }
  const snapshot = deps.codex.current()
  if (head.undo_of !== null) return judgeUndo(db, head, snapshot, deps)
  const agent = snapshot.agents.get(head.agent_id)
  if (!agent) return { kind: 'deny', rule: 'codex', reason: `the Codex knows no agent ${head.agent_id} any more` }

  const grant = agent.manifest.spec.tools.actions.find(({ type }) => type === head.type) ?? null
  const event = readsEvent(head.type, grant, snapshot) ? await readEvent(db, head.event_id) : null
  const at = deps.clock.now()
  const subject = { ...head, system: head.target_system, agent, grant, event, usedInRun: head.used_before, at }
  const outbound = outboundVerdict(outboundOf(head, [], snapshot), deps.redactor ?? standardRedactor)
  const now = stricter(actionPolicy(policyInput(subject, snapshot, deps.live)), outbound)
  if (now.verdict === 'deny' || now.verdict === 'recommend') {
    return { kind: 'deny', rule: now.rule, reason: `policy has become stricter: ${now.reason}` }
  }
  if (!approved && (now.verdict === 'ask' || head.autonomy <= 1)) {
    return { kind: 'ask', rule: now.rule, reason: `policy has become stricter: ${now.reason}` }
  }
  // An agent that was told "shadow" is not made a liar because the connector went live in between.
  return { kind: 'run', shadow: now.shadow || deps.dryRun === true || head.receipt.status === 'shadow' }
}

/**
 * A person has asked for it, so grant and autonomy of the agent do not count: taking back is wanted most when they are gone. Denials
 * do, and so does shadow mode.
 */
async function judgeUndo(db: Queryable, head: LaneHead, snapshot: CodexSnapshot, deps: JudgeDeps): Promise<Judgement> {
  const event = readsEvent(head.type, null, snapshot) ? await readEvent(db, head.event_id) : null
  const facts = undoFacts(head, snapshot, event)
  const outbound = outboundVerdict(outboundOf(head, [], snapshot), deps.redactor ?? standardRedactor)
  if (outbound.kind === 'deny') return { kind: 'deny', rule: outbound.rule, reason: outbound.reason }
  const denial = deniedBy({ denials: snapshot.denials, type: head.type, facts })
  if (denial) return { kind: 'deny', rule: denial.rule, reason: `the policy allows no undo: ${denial.reason}` }
  const shadow = !isLive(head, snapshot, deps.live) || deps.dryRun === true || head.receipt.status === 'shadow'
  return { kind: 'run', shadow }
}

async function readEvent(db: Queryable, id: string): Promise<EventFacts | null> {
  const { rows } = await db.query<EventRow>(sql.eventFacts, [id])
  const [row] = rows
  return row ? { ...row, timestamp: row.occurred_at.toISOString() } : null
}

interface EventRow {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly payload: JsonObject
  readonly metadata: JsonObject
  readonly occurred_at: Date
}
