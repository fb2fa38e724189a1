import type { Artifacts } from '../artifacts/artifacts.ts'
import type { Bus } from '../bus/bus.ts'
import type { Queryable } from '../database/database.ts'
import { forgetJournals } from '../executor/forget-journal.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'

const everyMs = 3_600_000
const firstMs = 60_000
const dayMs = 86_400_000
/** The log of the bus serves replay and `guild dead`; GitHub redelivers for 3 days. */
const busDays = 7
/** seed 3.4: LLM response logs */
const transcriptDays = 30

export interface HousekeepingDeps {
  readonly bus: Pick<Bus, 'trim'>
  readonly artifacts: Pick<Artifacts, 'removeOlderThan'>
  readonly database: Queryable
  readonly clock: Clock
  readonly log: Log
}

/**
 * After a minute, then once an hour: forgets what the bus has delivered to everybody 7 days ago, transcripts after 30 days, and
 * the words of journals when their manifest says so. */
export function housekeeping(deps: HousekeepingDeps): Service {
  const { clock, log } = deps
  return {
    name: 'housekeeping',
    async run(signal) {
      // A process that never lives for an hour must clean up too, only not while it starts.
      for (let waitMs = firstMs; !signal.aborted; waitMs = everyMs) {
        await clock.sleep(waitMs, signal)
        if (signal.aborted) return
        try {
          const { messages, transcripts, journals } = await cleanUp(deps, signal)
          if (messages + transcripts + journals > 0)
            log.info({ messages, transcripts, journals }, 'old messages, transcripts and journals removed')
        } catch (error) {
          log.warn({ reason: reasonOf(error) }, 'housekeeping failed, trying again in an hour')
        }
      }
    },
  }
}

/** One round. Several processes may clean up at once: what one has removed the others do not find. */
export async function cleanUp(
  { bus, artifacts, database, clock }: HousekeepingDeps,
  signal: AbortSignal,
): Promise<{ readonly messages: number; readonly transcripts: number; readonly journals: number }> {
  const before = (days: number) => new Date(clock.now().getTime() - days * dayMs)
  const messages = await bus.trim('*', { olderThan: before(busDays) })
  const transcripts = await artifacts.removeOlderThan('logs', before(transcriptDays))
  const journals = await forgetJournals(database, clock.now(), signal)
  return { messages, transcripts, journals }
}
