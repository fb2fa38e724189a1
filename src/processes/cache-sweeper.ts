import type { Cache } from '../cache/cache.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'

const everyMs = 300_000
/** What one sweep of the cache removes at most of a kind; then there may be more. */
const manyRemoved = 1_000
const sweepsMax = 100

/** Every five minutes: removes what of the cache has expired. */
export function cacheSweeper(deps: {
  readonly cache: Pick<Cache, 'sweep'>
  readonly clock: Clock
  readonly log: Log
}): Service {
  const { cache, clock, log } = deps
  return {
    name: 'cache-sweeper',
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(everyMs, signal)
        try {
          for (let sweeps = 0; sweeps < sweepsMax && !signal.aborted; sweeps += 1)
            if ((await cache.sweep()) < manyRemoved) break
        } catch (error) {
          log.warn({ reason: reasonOf(error) }, 'the cache could not be swept, trying again in five minutes')
        }
      }
    },
  }
}
