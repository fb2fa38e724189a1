import type { Queryable } from '../database/database.ts'
import { joinedJson, mergeable } from '../database/gathered.ts'
import { statements } from '../database/statements.ts'
import { type Redactor, standardRedactor, withheldStub } from '../guards/privacy/redact.ts'
import type { JsonObject } from '../kernel/json.ts'

const { insertDecisions } = statements(import.meta.url, './decisions.sql', ['insertDecisions'])
const insert = mergeable(insertDecisions, (calls) => [joinedJson(calls.map(([rows]) => rows ?? '[]'))])

/**
 * Why something happened, or did not (law 5). Written in the transaction that makes it true. `guild why`, the live stream and the
 * story of a run are read from these records alone, so `reason` is a sentence for people.
 */
export interface Decision {
  readonly at: string
  readonly stage: 'dispatch' | 'admission' | 'run' | 'guard' | 'budget' | 'policy' | 'action' | 'approval'
  /** a disposition, run state, action state or verdict, e.g. `ROUTED`, `RUNNING`, `STOPPED`, `needs_approval`, `SUCCEEDED` */
  readonly outcome: string
  readonly event_id?: string | null
  readonly receipt_id?: string | null
  readonly agent_id?: string | null
  readonly invocation_id?: string | null
  readonly action_id?: string | null
  /** `routing/events.yaml#pr-opened` */
  readonly rule?: string | null
  readonly reason: string
  readonly codex_commit?: string | null
  readonly detail?: JsonObject
}

/** One statement, however many. Reasons quote errors, and errors quote what they failed at: secrets are taken out first. */
export async function recordDecisions(
  tx: Queryable,
  decisions: readonly Decision[],
  redactor: Redactor = standardRedactor,
): Promise<void> {
  if (decisions.length === 0) return
  await tx.query(insert, [JSON.stringify(cleanDecisions(decisions, redactor))])
}

/** For who writes decisions in a statement of its own: without the secrets that their texts may hold. */
export function cleanDecisions<Some extends Pick<Decision, 'reason' | 'detail'>>(
  decisions: readonly Some[],
  redactor: Redactor = standardRedactor,
): readonly Some[] {
  // One look at all of them tells whether any need be looked at alone.
  const isClean = redactor.isClean(decisions.map(({ reason, detail }) => ({ reason, detail: detail ?? null })))
  return isClean ? decisions : decisions.map((decision) => cleaned(decision, redactor))
}

function cleaned<Some extends Pick<Decision, 'reason' | 'detail'>>(decision: Some, redactor: Redactor): Some {
  return {
    ...decision,
    reason: redactor.storedText(decision.reason),
    ...(decision.detail && { detail: redactor.stored(decision.detail, { withheld: withheldStub }) }),
  }
}
