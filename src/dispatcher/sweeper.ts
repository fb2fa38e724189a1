import type { Bus, BusMessage } from '../bus/bus.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Database } from '../database/database.ts'
import type { Sweeps } from '../database/sweep-log.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Priority } from '../kernel/event.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { agentTopic } from '../kernel/topics.ts'

const sql = statements(import.meta.url, './sweeper.sql', ['republish'])

export interface DispatcherSweeperDeps {
  readonly database: Database
  readonly outbox: Pick<Outbox, 'add'>
  /** to tell what is lost from what only waits in a long queue */
  readonly bus?: Pick<Bus, 'lag'>
  readonly clock: Clock
  readonly log: Log
  /** default 5 000 */
  readonly everyMs?: number
  readonly sweeps?: Sweeps
}

/** Rows of one transaction, at most. */
const batchMax = 500

/**
 * Law 1: the row is the truth, the message only its delivery. Sends again what a bus has lost and what a dead worker has left behind;
 * a message too many is harmless, since the executor takes a run by its lease. Several may run.
 */
export function dispatcherSweeper(deps: DispatcherSweeperDeps): Service {
  return {
    name: 'dispatcher-sweeper',
    async run(signal) {
      const { clock, everyMs = 5_000 } = deps
      while (!signal.aborted) {
        let sent = 0
        const startMs = clock.now().getTime()
        try {
          sent = await sweepInvocations(deps)
          if (sent > 0) deps.log.warn({ invocations: sent }, 'messages of waiting runs sent again')
          await deps.sweeps?.done('runs', everyMs, { republished: sent })
        } catch (error) {
          deps.log.warn({ reason: reasonOf(error) }, 'waiting runs not swept, trying again')
          await deps.sweeps?.failed('runs', everyMs, error)
        }
        // A look at a backlog of a million takes its time: it must not be all that the database does.
        const tookMs = clock.now().getTime() - startMs
        await clock.sleep(sent === batchMax ? 0 : Math.max(everyMs, tookMs * 20), signal)
      }
    },
  }
}

/** @returns how many were sent again, at most 500 */
export async function sweepInvocations(deps: DispatcherSweeperDeps): Promise<number> {
  const { database, outbox, clock, bus } = deps
  const waitingSince = bus ? await oldestWaiting(bus, clock) : null
  return database.transaction(async (tx) => {
    const { rows } = await tx.query<DueRow>(sql.republish, [clock.now(), batchMax, waitingSince])
    const perAgent = Map.groupBy(rows, (row) => row.agent_id)
    for (const [agentId, runs] of perAgent) {
      const messages = runs.map(({ id, priority, since }): BusMessage => ({
        id,
        priority,
        body: { invocation_id: id },
        ...(since && { notBefore: since }),
      }))
      await outbox.add(tx, agentTopic(agentId), messages)
    }
    return rows.length
  })
}

interface DueRow {
  readonly id: string
  readonly agent_id: string
  readonly priority: Priority
  /** its place in the queue; null: at the end */
  readonly since: Date | null
}

/** When the oldest message was published that waits for an executor; null: none waits. */
async function oldestWaiting(bus: Pick<Bus, 'lag'>, clock: Pick<Clock, 'now'>): Promise<Date | null> {
  const waiting = (await bus.lag()).filter(({ topic, ready }) => topic.startsWith(agentTopic('')) && ready > 0)
  if (waiting.length === 0) return null
  return new Date(clock.now().getTime() - Math.max(...waiting.map(({ oldestReadyMs }) => oldestReadyMs)))
}
