/** At most `burst` units at once, refilled evenly at `rate` units per `periodMs` (GCRA). */
export interface RateLimit {
  /** begins with `ratelimit:`, e.g. `ratelimit:jira-api:minute` */
  readonly key: string
  readonly rate: number
  readonly periodMs: number
  /** whole, at least 1 */
  readonly burst: number
}

/** One call and every limit that binds it, e.g. that of its connector and that of its tenant; eight at most. */
export interface RateRequest {
  readonly limits: readonly RateLimit[]
  /** units; default 1; never more than the smallest burst */
  readonly cost?: number
  /** 0 (default): now or not at all. Else a slot at most so far ahead is reserved and the caller waits for it. At most 24 h. */
  readonly waitMsMax?: number
}

export interface RateVerdict {
  readonly allowed: boolean
  /** until the call may go out; 0: now. Only reserved slots wait. */
  readonly waitMs: number
  /** whole units left for a call without waiting, by the tightest limit */
  readonly remaining: number
  /** until the same request would be allowed if nobody else asks; 0 when it is */
  readonly retryAfterMs: number
  /** until all limits are at rest, as if never used */
  readonly resetMs: number
  /** the limit that made it wait or refused it; null: none */
  readonly boundBy: string | null
}

export type RateState = Pick<RateVerdict, 'remaining' | 'resetMs'>

export type Hash = Readonly<Record<string, string>>

/**
 * A count of rows that are kept elsewhere for good, e.g. `user:alice:dm_count:2025-01-24`. The rows are the truth, the counter saves
 * counting them.
 */
export interface Counter {
  readonly key: string
  /** after so long the rows are counted anew, whatever happened */
  readonly ttlMs: number
  /**
   * Counts the rows that are committed, without those of the operations named (ids given to `counted`, 1 000 at most). Asked when the
   * counter is absent: never used, expired, flushed, or in doubt.
   */
  readonly rebuild: (except: readonly string[]) => Promise<number>
}

export interface Counted<T> {
  readonly result: T
  /** null: not known right now; the next `count` knows it */
  readonly count: number | null
}

/**
 * What processes share and may lose: rate limits, short-lived keys, sessions, health, counters. The conformance suite proves each
 * sentence, for every adapter.
 *
 * - `take` decides requests in their order, each all or none: refused by one limit, it uses nothing of the others. No limit ever lets
 *   more through than a bucket of `burst` units that is refilled at `rate`, over all processes. With `waitMsMax` the slot is reserved: it
 *   counts as used at the instant it is for, and later requests line up behind it. A refused request uses nothing.
 * - The store's time decides, never a process's clock. A limit whose rate is changed keeps what was used. `peek` uses nothing.
 * - Keys hold a text or a hash, and are gone after `ttlMs`. `set` replaces whatever was there and its time; with `ifAbsent` it returns
 *   false when something is there, and of many that ask at once one gets true. `extend` and `delete` with a `value` do nothing, and
 *   return false, unless the key still holds just that text: a lease is `set` with a token and `ifAbsent`. Asking a key for the other
 *   kind finds nothing.
 * - `putHash` sets the fields named and keeps the others; null removes one; the time of the whole begins anew. A hash without fields is
 *   absent. `hashes` answers in the order asked.
 * - `counted` hands the count to `write`, which commits rows that carry the id and returns how many. When nothing is under way, `count`
 *   is the number of committed rows: also when the counter was flushed or expired meanwhile, when `write` threw, or when a process died
 *   in it or could not reach the store at its end (then after `holdMs`). It is never begun from zero. Many that find it absent at once
 *   rebuild it once. `write` is called once, and what it returns is not lost when the store goes away during it; its signal aborts
 *   after `holdMs`.
 * - A counter bounds nothing: two that read 2 may both write. What must not be exceeded is a constraint in the rows' own transaction.
 * - A flush costs this: limits begin full, sessions end, leases are free, counters are rebuilt.
 * - Keys have 512 bytes at most, texts and hashes 64 KiB, hashes 100 fields, a life 31 days, a `take` 100 requests; anything else, and
 *   U+0000, rejects with GUILD_CACHE_INVALID and changes nothing.
 * - When the store cannot be reached everything rejects with a retryable GuildError within seconds. Each caller decides whether that
 *   means go on or stop, and says so.
 * - `sweep` removes what has expired, a bounded number per call, and returns how many; what has expired is never read before that.
 */
export interface Cache extends AsyncDisposable {
  readonly kind: 'postgres' | 'redis'
  take(requests: readonly RateRequest[]): Promise<readonly RateVerdict[]>
  peek(limits: readonly RateLimit[]): Promise<readonly RateState[]>
  get(key: string): Promise<string | null>
  set(key: string, value: string, options: { readonly ttlMs: number; readonly ifAbsent?: boolean }): Promise<boolean>
  extend(key: string, value: string, ttlMs: number): Promise<boolean>
  delete(key: string, value?: string): Promise<boolean>
  putHash(
    key: string,
    fields: Readonly<Record<string, string | null>>,
    options: { readonly ttlMs: number },
  ): Promise<void>
  hashes(keys: readonly string[]): Promise<readonly (Hash | null)[]>
  count(counter: Counter): Promise<number>
  counted<T>(counter: Counter, id: string, write: CountedWrite<T>): Promise<Counted<T>>
  sweep(): Promise<number>
  close(): Promise<void>
}

/**
 * Commits rows. @param count before them
 * @returns how many were committed; 0: it decided not to; null: not known, as when an earlier attempt with this id has left some
 */
export type CountedWrite<T> = (
  count: number,
  signal: AbortSignal,
) => Promise<{ readonly added: number | null; readonly result: T }>

/** So long an operation may be between its begin and its end before its process is taken for dead and the rows are counted anew. */
export const holdMs = 30_000

export const bounds = {
  keyBytesMax: 512,
  valueBytesMax: 64 * 1024,
  fieldsMax: 100,
  keysMax: 1_000,
  ttlMsMax: 31 * 86_400_000,
  requestsMax: 100,
  limitsMax: 8,
  waitMsMax: 86_400_000,
  operationsMax: 1_000,
} as const
