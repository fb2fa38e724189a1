import type { Cache, RateLimit } from '../cache/cache.ts'
import { windowLimit } from '../cache/window-limit.ts'
import type { ConnectorFile } from '../codex/kinds.ts'
import { type CallRate, readCallRate } from '../kernel/call-rate.ts'
import type { Clock } from '../kernel/clock.ts'
import { isGuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Admission } from '../tools/github/github-api.ts'

/** A read holds up a run that has a lease: it waits no longer than this. */
const waitMsMax = 2_000
/** So many reads are taken from the store at once and then handed out here: one round trip for all of them. */
const portion = 10

/**
 * REST requests in general: 900 points a minute, of which a read costs one, and 5 000 an hour, 60 without a token.
 * https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
 */
function githubReads(apiUrl: string, hasToken: boolean): readonly CallRate[] {
  if (new URL(apiUrl).host !== 'api.github.com') return []
  const perHour = { calls: hasToken ? 5_000 : 60, perMs: 3_600_000 }
  return [{ calls: 900, perMs: 60_000 }, perHour]
}

export interface ReadRateDeps {
  readonly cache: Pick<Cache, 'take'>
  readonly clock: Clock
  readonly log: Log
  readonly onRateWait: (connector: string, waitMs: number) => void
}

/**
 * One gate per connector for the reads of this process. Open when the cache cannot be reached: a read harms nobody, and GitHub's own
 * answer says when it is enough.
 */
export function readRates(deps: ReadRateDeps) {
  const gates = new Map<string, { readonly rates: string; readonly admit: Admission }>()
  return ({ metadata: { name }, spec }: ConnectorFile, apiUrl: string, hasToken: boolean): Admission => {
    const own = spec.rate.reads?.map((text) => readCallRate(text)).filter((rate) => rate !== null)
    const rates = own ?? githubReads(apiUrl, hasToken)
    const known = gates.get(name)
    if (known?.rates === JSON.stringify(rates)) return known.admit
    const limits = rates.map((rate) => windowLimit(`${name}-reads`, rate))
    const admit = limits.length > 0 ? gate(deps, name, limits) : free
    gates.set(name, { rates: JSON.stringify(rates), admit })
    return admit
  }
}

const free: Admission = () => Promise.resolve(null)

function gate({ cache, clock, log, onRateWait }: ReadRateDeps, name: string, limits: readonly RateLimit[]): Admission {
  const cost = Math.min(portion, ...limits.map(({ burst }) => burst))
  let left = 0
  let taking: Promise<Refusal | null> | null = null
  const take = async (signal: AbortSignal): Promise<Refusal | null> => {
    try {
      const [verdict] = await cache.take([{ limits, cost, waitMsMax }])
      const waitMs = (verdict?.waitMs ?? 0) + (verdict?.retryAfterMs ?? 0)
      if (waitMs > 0) onRateWait(name, waitMs)
      if (verdict && !verdict.allowed) return { retryAfterMs: waitMs }
      await clock.sleep(waitMs, signal)
    } catch (error) {
      if (!isGuildError(error) || !error.retryable) throw error
      log.warn({ connector: name, reason: reasonOf(error) }, 'the cache cannot be reached; reads go on without a limit')
    }
    left += cost
    return null
  }
  return async (signal) => {
    for (;;) {
      if (left > 0) {
        left -= 1
        return null
      }
      // One asks for all who find nothing left.
      taking ??= take(signal).finally(() => (taking = null))
      const refused = await taking
      signal.throwIfAborted()
      if (refused) return refused
    }
  }
}

interface Refusal {
  readonly retryAfterMs: number
}
