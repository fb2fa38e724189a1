import type { BusMessage } from '../bus/bus.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Database } from '../database/database.ts'
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
  readonly clock: Clock
  readonly log: Log
  /** default 5 000 */
  readonly everyMs?: number
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
      while (!signal.aborted) {
        let sent = 0
        try {
          sent = await sweepInvocations(deps)
          if (sent > 0) deps.log.warn({ invocations: sent }, 'messages of waiting runs sent again')
        } catch (error) {
          deps.log.warn({ reason: reasonOf(error) }, 'waiting runs not swept, trying again')
        }
        await deps.clock.sleep(sent === batchMax ? 0 : (deps.everyMs ?? 5_000), signal)
      }
    },
  }
}

/** @returns how many were sent again, at most 500 */
export function sweepInvocations({ database, outbox, clock }: DispatcherSweeperDeps): Promise<number> {
  return database.transaction(async (tx) => {
    const { rows } = await tx.query<{ id: string; agent_id: string; priority: Priority }>(sql.republish, [
      clock.now(),
      batchMax,
    ])
    const perAgent = Map.groupBy(rows, (row) => row.agent_id)
    for (const [agentId, runs] of perAgent) {
      const messages = runs.map(({ id, priority }): BusMessage => ({ id, priority, body: { invocation_id: id } }))
      await outbox.add(tx, agentTopic(agentId), messages)
    }
    return rows.length
  })
}
