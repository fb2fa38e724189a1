import { setTimeout as delay } from 'node:timers/promises'

/** The time as a dependency, so that decisions and tests share one. */
export interface Clock {
  now(): Date
  /** Resolves after `ms`, or at once when `signal` aborts. Never rejects: a cancelled wait is over, not failed. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => new Date(),
  async sleep(ms, signal) {
    if (signal?.aborted) return
    // Beyond 2^31-1 ms Node fires at once; a past instant is due now.
    const waitMs = Math.min(Math.max(0, ms), 2 ** 31 - 1)
    try {
      await delay(waitMs, undefined, { ...(signal && { signal }) })
    } catch (error) {
      if (!signal?.aborted) throw error
    }
  },
}
