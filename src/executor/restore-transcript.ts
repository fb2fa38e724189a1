import { z } from 'zod'
import { recordDecisions } from '../audit/decisions.ts'
import type { Delivery, Nack } from '../bus/bus.ts'
import type { CompiledAgent } from '../codex/snapshot.ts'
import { isGuildError } from '../kernel/errors.ts'
import type { JsonValue } from '../kernel/json.ts'
import { endReasons } from './ending.ts'
import type { ExecutorDeps } from './executor-deps.ts'
import { writeTranscript } from './finish.ts'
import { eventAndSteps, invocationRow } from './invocation.ts'
import { claimStatements as sql, Journal } from './journal.ts'
import { waitMs } from './run-context.ts'

/** So long a store that refuses transcripts is asked again. */
const triedMs = 600_000

const keptFile = z.object({ invocation: z.object({ lease_epoch: z.int() }) })
const json: z.ZodType<JsonValue> = z.json()
const overRow = invocationRow.extend({
  state: z.enum(['COMPLETED', 'STOPPED', 'FAILED', 'DEAD']),
  reason: z.enum(endReasons).nullable(),
  reason_detail: z.string().nullable(),
  summary: z.string().nullable(),
  output: json,
  transcript_ref: z.string(),
  over_ms: z.number(),
  // Asked only where it matters, when a run begins.
  has_breaker: z.boolean().default(false),
})

/**
 * The message of a run that is over has come back: its worker died between the end of the run and the transcript, or the store refused
 * it. The journal has all that the file needs. After ten minutes without a store the run's row says that there is none.
 * @returns null: acknowledged
 */
export async function restoreTranscript(deps: ExecutorDeps, delivery: Delivery, id: string): Promise<Nack | null> {
  const { rows } = await deps.database.query(sql.over, [id])
  if (rows.length === 0) return null
  const over = overRow.parse(rows[0])
  if (await present(deps, over.transcript_ref, over.lease_epoch)) return null
  const loaded = await eventAndSteps(deps.database, id)
  if (!loaded) return null
  const agent = await agentOf(deps, over)
  const { state, reason, reason_detail: detail, summary, output } = over
  const ending = { state, reason, detail: detail ?? '', summary: summary ?? '', output }
  const journal = new Journal(deps.database, deps.clock, over, loaded.steps)
  if (await writeTranscript(deps, journal, loaded.event, agent, ending)) return null
  if (over.over_ms < triedMs) {
    return { id: delivery.id, reason: 'the transcript is not kept yet', delayMs: waitMs(deps, 4) }
  }
  await deps.database.transaction(async (tx) => {
    await tx.query(sql.forgetTranscript, [id, over.transcript_ref])
    const { agent_id, event_id, codex_commit } = over
    const reason = 'the transcript could not be kept: the artifacts have refused it for ten minutes'
    const at = deps.clock.now().toISOString()
    const about = { agent_id, event_id, invocation_id: id, codex_commit }
    await recordDecisions(tx, [{ at, stage: 'run', outcome: 'TRANSCRIPT_LOST', reason, ...about }])
  })
  return null
}

/** Not one of an earlier end: a stopped run may have been let go on. */
async function present({ artifacts }: ExecutorDeps, path: string, epoch: number): Promise<boolean> {
  try {
    const kept = await artifacts.read(path)
    if (kept === null) return false
    const { invocation } = keptFile.parse(JSON.parse(Buffer.from(kept).toString()))
    return invocation.lease_epoch === epoch
  } catch (error) {
    if (isGuildError(error, 'GUILD_REQUEST_INVALID')) throw error
    return false // a store that cannot be read is asked to write, which tells; a file that is no transcript is replaced
  }
}

/** The agent as it was at the pinned commit. @returns null: the Codex cannot be read */
export async function agentOf(
  { codex }: Pick<ExecutorDeps, 'codex'>,
  { codex_commit, agent_id }: { readonly codex_commit: string; readonly agent_id: string },
): Promise<CompiledAgent | null> {
  try {
    return (await codex.at(codex_commit)).agents.get(agent_id) ?? null
  } catch (error) {
    if (!isGuildError(error)) throw error
    return null // told without its prompt, as at the end of a run whose Codex could not be read
  }
}
