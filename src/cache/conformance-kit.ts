import { setImmediate as tick } from 'node:timers/promises'
import { systemClock, type Clock } from '../kernel/clock.ts'
import type { Cache, Counter, RateLimit, RateRequest } from './cache.ts'

/** What an adapter gives the suite. Every cache it opens stands on one store, as processes do. */
export interface CacheHarness {
  /** @param time `store`: as in the product; else a clock that a test moves */
  open(time: 'store' | TestClock): Cache
  /** A cache whose way to the store can be cut. */
  openFragile(): { readonly cache: Cache; readonly setReachable: (reachable: boolean) => void }
  /** The store loses everything. */
  flush(): Promise<void>
  /** Kills the server, without a chance to write anything; null: it has no process of its own. */
  readonly kill: (() => Promise<void>) | null
  readonly start: (() => Promise<void>) | null
  close(): Promise<void>
}

/** Time that moves only when told to; waits are real. Begins now. */
export class TestClock implements Clock {
  #now = Date.now()
  now(): Date {
    return new Date(this.#now)
  }
  advance(ms: number): void {
    this.#now += ms
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal)
  }
}

export function aKey(prefix: string): string {
  return `${prefix}:${crypto.randomUUID()}`
}

export function aLimit(over: Partial<RateLimit> = {}): RateLimit {
  return { key: aKey('ratelimit'), rate: 1, periodMs: 60_000, burst: 1, ...over }
}

/** The reference: buckets of units, which may be drained ahead of time. Written another way round than the adapters do it. */
export class Buckets {
  readonly #levels = new Map<string, { level: number; at: number }>()

  take({ limits, cost = 1, waitMsMax = 0 }: RateRequest, now: number) {
    const waits = limits.map((limit) => Math.max(0, (cost - this.#level(limit, now)) / perMs(limit)))
    const waitMs = Math.max(...waits)
    const allowed = waitMs <= waitMsMax + 0.001
    const slot = now + waitMs
    if (allowed) {
      for (const limit of limits) this.#levels.set(limit.key, { level: this.#level(limit, slot) - cost, at: slot })
    }
    return {
      allowed,
      waitMs: allowed ? waitMs : 0,
      remaining: Math.min(...limits.map((limit) => Math.max(0, Math.floor(this.#level(limit, now) + 0.000001)))),
      retryAfterMs: allowed ? 0 : waitMs - waitMsMax,
      resetMs: Math.max(0, ...limits.map((limit) => (limit.burst - this.#level(limit, now)) / perMs(limit))),
    }
  }

  #level(limit: RateLimit, at: number): number {
    const known = this.#levels.get(limit.key)
    if (!known) return limit.burst
    return Math.min(limit.burst, known.level + (at - known.at) * perMs(limit))
  }
}

export function perMs({ rate, periodMs }: RateLimit): number {
  return rate / periodMs
}

/** Small, fast, the same for the same seed: https://en.wikipedia.org/wiki/Linear_congruential_generator (Numerical Recipes) */
export function dice(seed: number): (sides: number) => number {
  let state = seed >>> 0
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
}

/** Rows kept elsewhere, committed and counted with the delays that a network has. */
export class Rows {
  readonly ids = new Set<string>()
  rebuilds = 0
  readonly #roll: (sides: number) => number

  constructor(seed = 1) {
    this.#roll = dice(seed)
  }

  counter(key: string, ttlMs = 600_000): Counter {
    return {
      key,
      ttlMs,
      rebuild: async (except) => {
        this.rebuilds += 1
        await this.lag()
        const count = [...this.ids].filter((id) => !except.includes(id)).length
        await this.lag()
        return count
      },
    }
  }

  async write(id: string): Promise<{ readonly added: number; readonly result: string }> {
    await this.lag()
    this.ids.add(id)
    await this.lag()
    return { added: 1, result: id }
  }

  async lag(): Promise<void> {
    for (let turns = this.#roll(12); turns > 0; turns -= 1) await tick()
  }
}
