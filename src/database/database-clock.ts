import { performance } from 'node:perf_hooks'
import { type Clock, systemClock } from '../kernel/clock.ts'
import type { Service } from '../kernel/service.ts'
import type { Queryable, Statement } from './database.ts'

const time: Statement = { name: 'database-clock.time', text: 'SELECT clock_timestamp() AS at' }

const syncEveryMs = 10_000
/** An answer that took longer says too little about when it was given. */
const roundTripMsMax = 1_000

/**
 * The database's time, as all hosts see it: leases and due times compare alike, however the clock of a host stands or jumps. Between two
 * looks (every 10 s while it runs) it goes on by this process's monotonic clock. Until the first look it is the host's.
 */
export class DatabaseClock implements Clock, Service {
  readonly name = 'database-clock'
  readonly #db: Queryable
  readonly #host: Clock
  /** the database's time minus the monotonic clock, in ms */
  #offset: number | null = null

  constructor(db: Queryable, host: Clock = systemClock) {
    this.#db = db
    this.#host = host
  }

  now(): Date {
    return this.#offset === null ? this.#host.now() : new Date(performance.now() + this.#offset)
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#host.sleep(ms, signal)
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.sync()
      await this.#host.sleep(syncEveryMs, signal)
    }
  }

  /** Looks once. A database that cannot be reached leaves the time as it goes. */
  async sync(): Promise<void> {
    const asked = performance.now()
    try {
      const { rows } = await this.#db.query<{ at: Date }>(time)
      const answered = performance.now()
      if (rows[0] && answered - asked <= roundTripMsMax) this.#offset = rows[0].at.getTime() - (asked + answered) / 2
    } catch {
      // Whoever needs the database says so; the monotonic clock is good for hours.
    }
  }
}
