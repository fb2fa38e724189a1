import type { Database, Statement } from '../database/database.ts'
import { type Clock, systemClock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { SteadyTime } from '../kernel/steady-time.ts'

const now: Statement = { name: 'shared-clock.now', text: 'SELECT clock_timestamp() AS now' }
const askEveryMs = 10_000
/** An answer that took longer says too little. */
const answerMsMax = 1_000
/** Less than that is the way of question and answer. */
const differenceMsMin = 50

/**
 * The time of the database, which all processes share: a lease that one of them writes must mean the same to all others. Between two
 * looks it passes steadily; a process whose own clock is wrong, or is set while it runs, takes no lease too early and lets none wait.
 */
export class SharedClock implements Clock, AsyncDisposable {
  readonly #database: Database
  readonly #log: Log
  readonly #time: SteadyTime
  readonly #closed = new AbortController()
  #following: Promise<void> | undefined

  static async open(database: Database, log: Log, time = new SteadyTime()): Promise<SharedClock> {
    const clock = new SharedClock(database, log, time)
    await clock.look()
    clock.#following = clock.#follow()
    return clock
  }

  private constructor(database: Database, log: Log, time: SteadyTime) {
    this.#database = database
    this.#log = log
    this.#time = time
  }

  now(): Date {
    return new Date(this.#time.now())
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal)
  }

  /** Asks the database once. */
  async look(): Promise<void> {
    const began = performance.now()
    const { rows } = await this.#database.query<{ now: Date }>(now)
    const tookMs = performance.now() - began
    if (!rows[0] || tookMs > answerMsMax) return
    const differenceMs = rows[0].now.getTime() + tookMs / 2 - this.#time.now()
    if (Math.abs(differenceMs) >= differenceMsMin) this.#time.set(this.#time.now() + differenceMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort()
    await this.#following
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closed
    for (;;) {
      await systemClock.sleep(askEveryMs, signal)
      if (signal.aborted) return
      try {
        await this.look()
      } catch (error) {
        this.#log.debug({ reason: reasonOf(error) }, 'the time of the database is not known; ours goes on')
      }
    }
  }
}
