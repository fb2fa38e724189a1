import type { Database } from '../database/database.ts'
import type { Sweeps } from '../database/sweep-log.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { sweepReservations } from './sweep-reservations.ts'

export interface ReservationSweeperDeps {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /** default 30 000 */
  readonly everyMs?: number
  readonly sweeps?: Sweeps
}

/** Gives back or charges what no worker is left to settle, so that a crash never eats a budget nor hides a cost. Several may run. */
export function reservationSweeper({
  database,
  clock,
  log,
  everyMs = 30_000,
  sweeps,
}: ReservationSweeperDeps): Service {
  return {
    name: 'reservation-sweeper',
    async run(signal) {
      while (!signal.aborted) {
        try {
          const swept = await sweepReservations(database, clock.now())
          if (swept.released + swept.charged > 0) log.info(swept, 'reservations swept')
          await sweeps?.done('reservations', everyMs, { ...swept })
        } catch (error) {
          log.warn({ reason: reasonOf(error) }, 'reservations not swept, trying again')
          await sweeps?.failed('reservations', everyMs, error)
        }
        await clock.sleep(everyMs, signal)
      }
    },
  }
}
