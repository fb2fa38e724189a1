import type { Database } from '../database/database.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { sweepReservations } from './postgres-ledger.ts'

export interface ReservationSweeperDeps {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /** default 30 000 */
  readonly everyMs?: number
}

/** Gives back what no worker is left to settle, so that a crash never eats a budget. Several may run. */
export function reservationSweeper({ database, clock, log, everyMs = 30_000 }: ReservationSweeperDeps): Service {
  return {
    name: 'reservation-sweeper',
    async run(signal) {
      while (!signal.aborted) {
        try {
          const released = await database.transaction((tx) => sweepReservations(tx, clock.now()))
          if (released > 0) log.info({ released }, 'reservations given back')
        } catch (error) {
          log.warn({ reason: reasonOf(error) }, 'reservations not swept, trying again')
        }
        await clock.sleep(everyMs, signal)
      }
    },
  }
}
