import { z } from 'zod'
import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { RedisCommands } from '../../redis/redis.ts'
import { script } from '../../redis/script.ts'
import {
  checkFields,
  checkKey,
  checkKeys,
  checkTtl,
  checkValue,
  limitToWire,
  tooManyFields,
  toWire,
} from '../cache-rules.ts'
import {
  bounds,
  type Cache,
  type Counted,
  type CountedWrite,
  type Counter,
  type Hash,
  holdMs,
  type RateLimit,
  type RateRequest,
  type RateState,
  type RateVerdict,
} from '../cache.ts'
import { type CounterStore, Counting, rebuildMs } from '../counting.ts'

const scripts = {
  take: script(import.meta.url, './time.lua', './take.lua'),
  peek: script(import.meta.url, './time.lua', './peek.lua'),
  get: script(import.meta.url, './get.lua'),
  extend: script(import.meta.url, './extend.lua'),
  delete: script(import.meta.url, './delete.lua'),
  putHash: script(import.meta.url, './put-hash.lua'),
  hash: script(import.meta.url, './hash.lua'),
  counterOpen: script(import.meta.url, './time.lua', './counter-open.lua'),
  counterFill: script(import.meta.url, './counter-fill.lua'),
  counterSettle: script(import.meta.url, './counter-settle.lua'),
}

export interface RedisCacheDeps {
  readonly redis: RedisCommands
  readonly clock: Clock
  readonly log: Log
  /** Whose time decides about limits and counters. Default `server`; `clock` is for tests that move time. */
  readonly time?: 'server' | 'clock'
}

/**
 * The cache in Redis 7, under the seed's names. A call bound by two limits changes both or none, so on a cluster they must be
 * neighbours: `ratelimit:jira-api:minute` is stored as `{ratelimit}:jira-api:minute`. The connection is not closed with it.
 */
export class RedisCache implements Cache {
  readonly kind = 'redis'
  readonly #deps: RedisCacheDeps
  readonly #counting: Counting

  constructor(deps: RedisCacheDeps) {
    this.#deps = deps
    this.#counting = new Counting(
      counterStore(deps.redis, () => this.#now()),
      deps.clock,
      deps.log,
    )
  }

  async take(requests: readonly RateRequest[]): Promise<readonly RateVerdict[]> {
    const wire = toWire(requests)
    const keys = [...new Set(wire.flatMap(({ limits }) => limits.map(({ key }) => key)))]
    const [first, ...rest] = keys.map((key) => neighbour(key))
    if (first === undefined) return []
    const place = new Map(keys.map((key, index) => [key, index + 1]))
    const placed = wire.map((request) => ({
      ...request,
      limits: request.limits.map((limit) => ({ ...limit, at: place.get(limit.key) })),
    }))
    const answer = await this.#deps.redis.run(scripts.take, [first, ...rest], [JSON.stringify(placed), this.#now()])
    return verdicts.parse(answer)
  }

  async peek(limits: readonly RateLimit[]): Promise<readonly RateState[]> {
    const wire = limits.map(limitToWire)
    const [first, ...rest] = wire.map(({ key }) => neighbour(key))
    if (first === undefined) return []
    return states.parse(await this.#deps.redis.run(scripts.peek, [first, ...rest], [JSON.stringify(wire), this.#now()]))
  }

  async get(key: string): Promise<string | null> {
    checkKey(key)
    return text.parse(await this.#deps.redis.run(scripts.get, [key], []))
  }

  async set(key: string, value: string, options: { ttlMs: number; ifAbsent?: boolean }): Promise<boolean> {
    const { ttlMs, ifAbsent = false } = options
    checkKey(key)
    checkValue(key, value)
    checkTtl(key, ttlMs)
    const only = ifAbsent ? ['NX'] : []
    return (await this.#deps.redis.command(key, ['SET', key, value, 'PX', String(ttlMs), ...only])) !== null
  }

  async extend(key: string, value: string, ttlMs: number): Promise<boolean> {
    checkKey(key)
    checkTtl(key, ttlMs)
    checkValue(key, value)
    return (await this.#deps.redis.run(scripts.extend, [key], [value, String(ttlMs)])) === 1
  }

  async delete(key: string, value?: string): Promise<boolean> {
    checkKey(key)
    if (value === undefined) return (await this.#deps.redis.command(key, ['DEL', key])) === 1
    checkValue(key, value)
    return (await this.#deps.redis.run(scripts.delete, [key], [value])) === 1
  }

  async putHash(key: string, fields: Record<string, string | null>, { ttlMs }: { ttlMs: number }): Promise<void> {
    checkKey(key)
    checkFields(key, fields)
    checkTtl(key, ttlMs)
    const set = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
    const gone = Object.keys(fields).filter((name) => fields[name] === null)
    const limits = [bounds.fieldsMax, bounds.valueBytesMax].map(String)
    const args = [JSON.stringify({ set, gone }), String(ttlMs), ...limits]
    if ((await this.#deps.redis.run(scripts.putHash, [key], args)) === 0) throw tooManyFields(key)
  }

  async hashes(keys: readonly string[]): Promise<readonly (Hash | null)[]> {
    checkKeys(keys)
    // Sent together, and each to its own node of a cluster.
    return Promise.all(
      keys.map(async (key) => {
        const flat = texts.parse(await this.#deps.redis.run(scripts.hash, [key], []))
        if (flat.length === 0) return null
        const pairs = Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index], flat[2 * index + 1]])
        return Object.fromEntries(pairs) as Hash // names and texts take turns: HGETALL
      }),
    )
  }

  count(counter: Counter): Promise<number> {
    return this.#counting.count(counter)
  }

  counted<T>(counter: Counter, id: string, write: CountedWrite<T>): Promise<Counted<T>> {
    return this.#counting.counted(counter, id, write)
  }

  /** Redis does it by itself. */
  async sweep(): Promise<number> {
    return 0
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #now(): string {
    return this.#deps.time === 'clock' ? String(this.#deps.clock.now().getTime()) : ''
  }
}

function counterStore(redis: RedisCommands, now: () => string): CounterStore {
  return {
    async open(key, id, ticket) {
      const args = [id ?? '', String(holdMs), String(rebuildMs), String(bounds.operationsMax), ticket, now()]
      return opened.parse(await redis.run(scripts.counterOpen, [key], args))
    },
    async fill(key, ticket, count, ttlMs) {
      const args = [ticket, count === null ? '' : String(count), String(ttlMs)]
      return (await redis.run(scripts.counterFill, [key], args)) === 1
    },
    async settle(key, id, added) {
      const answer = await redis.run(scripts.counterSettle, [key], [id, added === null ? '' : String(added)])
      return number.nullable().parse(answer)
    },
  }
}

function neighbour(key: string): string {
  return key.replace(/^ratelimit:/, '{ratelimit}:')
}

/** Redis answers fractions as text: a number of a script loses them. */
const number = z.coerce.number()
const text = z.string().nullable()
const texts = z.array(z.string())
const verdicts = z.array(
  z
    .tuple([z.literal([0, 1]), number, number, number, number, z.string()])
    .transform(([allowed, waitMs, remaining, retryAfterMs, resetMs, boundBy]) => ({
      allowed: allowed === 1,
      waitMs,
      remaining,
      retryAfterMs,
      resetMs,
      boundBy: boundBy === '' ? null : boundBy,
    })),
)
const states = z.array(
  z.tuple([number, number]).transform(([remaining, resetMs]): RateState => ({ remaining, resetMs })),
)
const opened = z.union([
  z.tuple([z.literal('open'), number]).transform(([kind, count]) => ({ kind, count })),
  z.tuple([z.literal('rebuild'), texts]).transform(([kind, except]) => ({ kind, except })),
  z.tuple([z.literal('wait')]).transform(([kind]) => ({ kind })),
])
