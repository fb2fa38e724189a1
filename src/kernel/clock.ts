/** The time as a dependency, so that decisions and tests share one. */
export interface Clock {
  now(): Date
  /** Resolves after `ms`, or at once when `signal` aborts. Never rejects: a cancelled wait is over, not failed. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => new Date(),
  sleep(ms, signal) {
    if (signal?.aborted) return Promise.resolve()
    // Beyond 2^31-1 ms Node fires at once; a past instant is due now.
    const waitMs = Math.min(Math.max(0, ms), 2 ** 31 - 1)
    // Not the promise of node:timers/promises: cancelled, as each deadline that was kept is, it makes an error with a stack.
    return new Promise((resolve) => {
      const over = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', over)
        resolve()
      }
      const timer = setTimeout(over, waitMs)
      signal?.addEventListener('abort', over, { once: true })
    })
  },
}
