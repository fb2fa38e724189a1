import type { Artifacts } from '../artifacts/artifacts.ts'
import type { Bus } from '../bus/bus.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'

const everyMs = 3_600_000
const dayMs = 86_400_000
/** The log of the bus serves replay and `guild dead`; GitHub redelivers for 3 days. */
const busDays = 7
/** seed 3.4: LLM response logs */
const transcriptDays = 30

export interface HousekeepingDeps {
  readonly bus: Bus
  readonly artifacts: Artifacts
  readonly clock: Clock
  readonly log: Log
}

/** Once an hour: forgets what the bus has delivered to everybody 7 days ago, and transcripts after 30 days. */
export function housekeeping({ bus, artifacts, clock, log }: HousekeepingDeps): Service {
  return {
    name: 'housekeeping',
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(everyMs, signal)
        if (signal.aborted) return
        const before = (days: number) => new Date(clock.now().getTime() - days * dayMs)
        try {
          const messages = await bus.trim('*', { olderThan: before(busDays) })
          const transcripts = await artifacts.removeOlderThan('logs', before(transcriptDays))
          if (messages + transcripts > 0) log.info({ messages, transcripts }, 'old messages and transcripts removed')
        } catch (error) {
          log.warn({ reason: reasonOf(error) }, 'housekeeping failed, trying again in an hour')
        }
      }
    },
  }
}
