import type { Database } from '../database/database.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { refreshAgents } from './registry.ts'

export interface RegistryRefresherDeps {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /** default 60 000 */
  readonly everyMs?: number
}

/** Keeps the derived columns of `guild_core.agents` fresh for those who read the table; rows that did not change are not written. */
export function registryRefresher({ database, clock, log, everyMs = 60_000 }: RegistryRefresherDeps): Service {
  return {
    name: 'registry-refresher',
    async run(signal) {
      while (!signal.aborted) {
        try {
          await database.transaction((tx) => refreshAgents(tx, clock.now()))
        } catch (error) {
          log.warn({ reason: reasonOf(error) }, 'agents not refreshed, trying again')
        }
        await clock.sleep(everyMs, signal)
      }
    },
  }
}
