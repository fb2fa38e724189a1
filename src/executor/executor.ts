import { z } from 'zod'
import type { Consumer, Delivery, Nack } from '../bus/bus.ts'
import { standardRedactor } from '../guards/privacy/redact.ts'
import { isGuildError, reasonOf } from '../kernel/errors.ts'
import { everyAgentTopic } from '../kernel/topics.ts'
import type { ExecutorDeps } from './executor-deps.ts'
import { executorGroup, finish } from './finish.ts'
import { claimInvocation } from './invocation.ts'
import type { GuildEvent } from '../kernel/event.ts'
import type { Journal } from './journal.ts'
import { holdLease } from './lease.ts'
import { agentOf, restoreTranscript } from './restore-transcript.ts'
import { runInvocation } from './run.ts'
import { waitMs } from './run-context.ts'

/** What the dispatcher puts on `guild.events.agent.{agent_id}`: the delivery of a row (law 1). */
export const invocationMessage = z.object({ invocation_id: z.string().min(1) })

/** Attempts that end with the same step unfinished before the run is dead. */
const poisonAttempts = 3
/** The row is written before the message; a message without a row is given this many chances. */
const unknownAttempts = 5

/**
 * The agent executor (seed §2.7): for each invocation load prompt, fetch context, call the model, execute tools, publish actions,
 * finish. Any number of executors share the work; whoever holds the lease owns the run. A message is acknowledged when the run is over
 * and returned while it is not: when another worker has it, when it waits, when this one stops. What was not admitted waits as a row.
 */
export function executor(deps: ExecutorDeps): Consumer {
  const leaseMs = deps.options?.leaseMs ?? 15_000
  return {
    // The executor bounds attempts itself, per run and per step; waiting and drained deliveries must not end in the dead letters.
    subscription: {
      topic: everyAgentTopic,
      group: executorGroup,
      maxInFlight: deps.options?.maxInFlight ?? 128,
      batchMax: 1,
      attemptsMax: 1_000,
    },
    async handle(batch, signal) {
      const nacks = await Promise.all(batch.map((delivery) => attemptOrReturn(deps, leaseMs, delivery, signal)))
      const redactor = deps.redactor ?? standardRedactor
      // The bus keeps the reason.
      return nacks.flatMap((nack) => (nack ? [{ ...nack, reason: redactor.storedText(nack.reason) }] : []))
    },
  }
}

/**
 * While the database is away every message fails alike, and none of them deserves that the next attempt waits ever longer: runs continue
 * soon after it is back.
 */
async function attemptOrReturn(
  deps: ExecutorDeps,
  leaseMs: number,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<Nack | null> {
  try {
    return await attempt(deps, leaseMs, delivery, signal)
  } catch (error) {
    if (!isGuildError(error, 'GUILD_DATABASE_UNAVAILABLE') || signal.aborted) throw error
    deps.log.warn({ invocationId: delivery.id, why: reasonOf(error) }, 'run not continued while the database is away')
    return { id: delivery.id, reason: reasonOf(error), delayMs: waitMs(deps, 1, error.retryAfterMs) }
  }
}

async function attempt(
  deps: ExecutorDeps,
  leaseMs: number,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<Nack | null> {
  const message = invocationMessage.safeParse(delivery.body)
  if (!message.success) return { id: delivery.id, reason: 'the message names no invocation', dead: true }
  const id = message.data.invocation_id
  const claimedAtMs = deps.clock.now().getTime()
  const claim = await claimInvocation({ ...deps, leaseMs }, id)
  switch (claim.kind) {
    case 'over':
      return restoreTranscript(deps, delivery, id)
    case 'suspended':
    case 'held':
      return null
    case 'later':
      return {
        id: delivery.id,
        reason: `${id} is ${claim.state}, held or not due`,
        delayMs: Math.max(250, claim.waitMs),
      }
    case 'unknown': {
      const reason = `there is no invocation ${id}`
      return { id: delivery.id, reason, ...(delivery.attempt < unknownAttempts ? { delayMs: 1_000 } : { dead: true }) }
    }
    case 'claimed':
      return own(deps, { leaseMs, claimedAtMs }, delivery, claim.journal, claim.event, signal)
  }
}

async function own(
  deps: ExecutorDeps,
  term: { readonly leaseMs: number; readonly claimedAtMs: number },
  delivery: Delivery,
  journal: Journal,
  event: GuildEvent,
  signal: AbortSignal,
): Promise<Nack | null> {
  const { failing_seq, failures } = journal.invocation
  const later = (reason: string, delayMs: number): Nack => ({ id: delivery.id, reason, delayMs })
  const ended = (kept: boolean) => (kept ? null : later('the transcript is not kept yet', waitMs(deps, 1)))
  await using lease = holdLease(journal, { ...deps, ...term })
  try {
    // Its owners died there, again and again, without a chance to say so.
    if (failures >= poisonAttempts) return ended(await bury(deps, journal, event, 'its worker died each time'))
    const owned = { signal: AbortSignal.any([signal, lease.lost]), checkLease: () => lease.check() }
    const result = await runInvocation(deps, journal, event, owned)
    if (result.kind === 'finished') return ended(result.kept)
    return result.kind === 'waiting' ? later(result.reason, result.delayMs) : null
  } catch (error) {
    if (lease.lost.aborted || isGuildError(error, 'GUILD_LEASE_LOST'))
      return later('another worker has taken over', term.leaseMs)
    try {
      return await account(error)
    } catch (second) {
      // What failed first may have failed because of the takeover.
      if (isGuildError(second, 'GUILD_LEASE_LOST')) return later('another worker has taken over', term.leaseMs)
      throw second
    }
  }

  async function account(error: unknown): Promise<Nack | null> {
    if (signal.aborted) return giveBack(journal, later('the worker stops', 0))
    const seq = journal.firstUnfinished
    // That the database was away is not the step's failure. Should a step take it down each time, its lease lapses, and that counts.
    const before = failing_seq === seq ? failures : 0
    const count = before + (isGuildError(error, 'GUILD_DATABASE_UNAVAILABLE') ? 0 : 1)
    const { id: invocationId, trace_id: traceId, agent_id: agentId } = journal.invocation
    deps.log.error({ invocationId, traceId, agentId, eventId: event.id, seq, count, err: error }, 'run attempt failed')
    if (count >= poisonAttempts) return ended(await bury(deps, journal, event, reasonOf(error)))
    const delayMs = waitMs(deps, Math.max(1, count), isGuildError(error) ? error.retryAfterMs : 0)
    journal.note({
      stage: 'run',
      outcome: 'ATTEMPT_FAILED',
      reason: `step ${seq} failed, next attempt follows: ${reasonOf(error)}`,
    })
    await journal.write({ row: { state: 'ADMITTED', wait_ms: delayMs, failing_seq: seq, failures: count } })
    return later(reasonOf(error), delayMs)
  }
}

async function giveBack(journal: Journal, nack: Nack): Promise<Nack> {
  journal.note({ stage: 'run', outcome: 'ADMITTED', reason: 'the worker stops; the run continues from its journal' })
  await journal.write({ row: { state: 'ADMITTED', wait_ms: 0 } })
  return nack
}

async function bury(deps: ExecutorDeps, journal: Journal, event: GuildEvent, why: string): Promise<boolean> {
  const detail = `${poisonAttempts} attempts ended at step ${journal.firstUnfinished}: ${why}`
  const ending = {
    state: 'DEAD',
    reason: 'POISON',
    detail,
    summary: `The run is dead: ${detail}`,
    output: null,
  } as const
  return finish(deps, journal, event, await agentOf(deps, journal.invocation), ending)
}
