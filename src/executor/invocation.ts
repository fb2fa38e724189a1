import { z } from 'zod'
import { recordDecisions } from '../audit/decisions.ts'
import type { Database, Queryable } from '../database/database.ts'
import { type Redactor, standardRedactor } from '../guards/privacy/redact.ts'
import type { Clock } from '../kernel/clock.ts'
import { priorities, type EventMetadata, type GuildEvent } from '../kernel/event.ts'
import type { JsonObject } from '../kernel/json.ts'
import { holdBack } from './admission.ts'
import { claimStatements, Journal } from './journal.ts'
import { readSteps, type Step } from './step.ts'

export const invocationRow = z.object({
  id: z.string(),
  agent_id: z.string(),
  agent_type: z.string(),
  agent_version: z.string(),
  chapter: z.string().nullable(),
  event_id: z.string(),
  trace_id: z.string(),
  causal_root: z.string(),
  causal_depth: z.number(),
  codex_commit: z.string(),
  rule: z.string(),
  priority: z.enum(priorities),
  lease_epoch: z.number(),
  attempts: z.number(),
  failing_seq: z.number().nullable(),
  failures: z.number(),
  queued_at: z.date(),
  /** wall clock while RUNNING, before this claim */
  active_ms: z.number(),
  /** time in WAITING_* states so far */
  waited_ms: z.number(),
  /** by people, on top of the manifest's limits */
  granted_tokens: z.number(),
  granted_cost_micros: z.number(),
  /** of `limits.concurrency`; null: no limit */
  slot_key: z.string().nullable(),
  /** what the agent that handed the work on left to this run */
  handoff: z
    .object({ depth: z.number(), autonomy: z.number(), tokens: z.number(), cost_micros: z.number() })
    .nullable(),
  /** set: it ends at its next edge, for this reason */
  cancel: z.string().nullable(),
  /** the agent was degraded by failures when this attempt began */
  has_breaker: z.boolean(),
})
export type Invocation = z.infer<typeof invocationRow>

export type Claim =
  | { readonly kind: 'claimed'; readonly journal: Journal; readonly event: GuildEvent }
  /** COMPLETED, STOPPED, FAILED, DEAD: nothing is left to do */
  | { readonly kind: 'over'; readonly state: string }
  /** WAITING_ACTION, WAITING_APPROVAL: whatever ends what it waits for, or ends the wait, sends a message of its own */
  | { readonly kind: 'suspended' }
  /** leased by a live worker, or not due yet */
  | { readonly kind: 'later'; readonly state: string; readonly waitMs: number }
  /** it waits as a row, and is sent again when it may start */
  | { readonly kind: 'held' }
  | { readonly kind: 'unknown' }

const final: ReadonlySet<string> = new Set(['COMPLETED', 'STOPPED', 'FAILED', 'DEAD'])

const suspended: ReadonlySet<string> = new Set(['WAITING_ACTION', 'WAITING_APPROVAL'])

export interface ClaimDeps {
  readonly database: Database
  readonly clock: Clock
  /** unique per process */
  readonly owner: string
  readonly leaseMs: number
  readonly redactor?: Redactor
}

/** Takes the lease if it is free, and reads everything that was done before. */
export async function claimInvocation(deps: ClaimDeps, id: string): Promise<Claim> {
  const { database, clock, owner, leaseMs, redactor = standardRedactor } = deps
  const claimed = await database.transaction(async (tx) => {
    // In one breath: what is loaded is read after the claim, in a snapshot of its own.
    const [claim, loaded] = await Promise.all([
      tx.query(claimStatements.claim, [id, owner, leaseMs]),
      eventAndSteps(tx, id),
    ])
    if (claim.rows.length === 0 || !loaded) return null
    const invocation = invocationRow.parse(claim.rows[0])
    const { agent_id, event_id, codex_commit, attempts } = invocation
    await recordDecisions(tx, [
      {
        at: clock.now().toISOString(),
        stage: 'run',
        outcome: 'RUNNING',
        event_id,
        agent_id,
        invocation_id: id,
        codex_commit,
        reason: attempts === 1 ? `${agent_id} runs` : `${agent_id} continues from the journal, attempt ${attempts}`,
        detail: { attempt: attempts, epoch: invocation.lease_epoch },
      },
    ])
    return { invocation, ...loaded }
  })
  if (!claimed) return look(database, clock, id)
  const { invocation, event, steps } = claimed
  return { kind: 'claimed', journal: new Journal(database, clock, invocation, steps, redactor), event }
}

/** What a run was woken by, and what it has done. */
export async function eventAndSteps(
  db: Queryable,
  id: string,
): Promise<{ readonly event: GuildEvent; readonly steps: readonly Step[] } | null> {
  const { rows } = await db.query<EventRow>(claimStatements.load, [id])
  const [found] = rows
  return found ? { event: eventOf(found), steps: readSteps(found.steps) } : null
}

async function look(database: Database, clock: Clock, id: string): Promise<Claim> {
  const { rows } = await database.query<{ state: string; wait_ms: number | null }>(claimStatements.look, [id])
  const [found] = rows
  if (!found) return { kind: 'unknown' }
  if (final.has(found.state)) return { kind: 'over', state: found.state }
  if (!found.wait_ms && (await holdBack(database, clock, id))) return { kind: 'held' }
  if (suspended.has(found.state)) return { kind: 'suspended' }
  return { kind: 'later', state: found.state, waitMs: found.wait_ms ?? 0 }
}

interface EventRow {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly payload: JsonObject
  readonly metadata: EventMetadata
  readonly steps: unknown
}

/** The dispatcher parsed the event before it wrote the row. */
function eventOf({ id, type, source, payload, metadata }: EventRow): GuildEvent {
  return { id, timestamp: metadata.occurred_at, type, source, payload, metadata }
}
