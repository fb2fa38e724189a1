import { z } from 'zod'
import { recordDecisions } from '../audit/decisions.ts'
import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { LlmUsage } from '../llm/llm.ts'
import { giveBack, postgresLedger } from './postgres-ledger.ts'
import { costMicros } from './price.ts'

const sql = statements(import.meta.url, './sweep-reservations.sql', ['findAbandoned', 'markLost'])

export interface Swept {
  /** never sent: given back */
  readonly released: number
  /** perhaps sent, and nobody will continue the run: charged by estimate */
  readonly charged: number
}

/**
 * Ends reservations that have expired and that nobody will settle: their run is over, or unknown, or its new owner has done with that
 * call. A call that was under way when its worker died may have been paid for, so it is charged: what the provider had reported, else
 * all of its input. At most 200 in one call; each charge in a transaction of its own, in the lock order of every other.
 */
export async function sweepReservations(db: Database, now: Date): Promise<Swept> {
  const { rows } = await db.query<Abandoned>(sql.findAbandoned, [now])
  const lost = rows.flatMap((row) => {
    const call = calls.safeParse(row.request)
    return call.success && row.agent_id !== null ? [{ row, call: call.data, agentId: row.agent_id }] : []
  })
  for (const one of lost) await chargeLost(db, one, now)
  const unsent = rows.filter((row) => !lost.some((one) => one.row === row)).map(({ id }) => id)
  const released = unsent.length === 0 ? 0 : await db.transaction((tx) => giveBack(tx, unsent, now))
  return { released, charged: lost.length }
}

interface Lost {
  readonly row: Abandoned
  readonly call: z.infer<typeof calls>
  readonly agentId: string
}

async function chargeLost(db: Database, { row, call, agentId }: Lost, at: Date): Promise<void> {
  const reported = counts.safeParse(row.usage)
  const usage: LlmUsage = reported.success
    ? { ...reported.data, raw: {} }
    : { ...nothing, inputNocache: call.inputTokens, raw: {} }
  const cost = costMicros(usage, call.price)
  const error = 'the worker died in the middle of the call, and nobody continues the run'
  await db.transaction(async (tx) => {
    await postgresLedger.settle(tx, {
      reservationId: row.id,
      agentId,
      chapter: row.chapter,
      eventId: row.event_id ?? '',
      provider: call.provider,
      model: call.model,
      priceVersion: call.price?.version ?? null,
      usage,
      costMicros: cost,
      estimated: true,
      inputBytes: null,
      at,
    })
    const { raw: _, ...counted } = usage
    const { invocation_id, step_seq: seq, attempt } = row
    const step = { invocation_id, seq, attempt, usage: { ...counted, costMicros: cost, estimated: true }, error, at }
    await tx.query(sql.markLost, [JSON.stringify(step)])
    const tokens = usage.inputNocache + usage.inputCacheRead + usage.inputCacheWrite
    await recordDecisions(tx, [
      {
        at: at.toISOString(),
        stage: 'budget',
        outcome: 'CALL_LOST',
        event_id: row.event_id,
        agent_id: agentId,
        invocation_id,
        codex_commit: row.codex_commit,
        reason: `${error}; ${tokens} input tokens are charged by estimate`,
      },
    ])
  })
}

const nothing = { inputNocache: 0, inputCacheRead: 0, inputCacheWrite: 0, outputText: 0, outputReasoning: 0 }
const count = z.int().min(0)
const price = z.object({
  version: z.string(),
  inputPerMillion: count,
  outputPerMillion: count,
  cacheReadPerMillion: count,
  cacheWritePerMillion: count,
})
/** Of the step's request, as the executor journals it: what it takes to price a call. */
const calls = z.object({ provider: z.string(), model: z.string(), inputTokens: count, price: price.nullable() })
const counts = z.object({
  inputNocache: count,
  inputCacheRead: count,
  inputCacheWrite: count,
  outputText: count,
  outputReasoning: count,
})

interface Abandoned {
  readonly id: string
  readonly invocation_id: string
  readonly step_seq: number
  readonly attempt: number
  readonly request: unknown
  readonly usage: unknown
  readonly agent_id: string | null
  readonly chapter: string | null
  readonly event_id: string | null
  readonly codex_commit: string | null
}
