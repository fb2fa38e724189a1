import { GuildError } from '../kernel/errors.ts'
import { bounds, type RateLimit, type RateRequest } from './cache.ts'

/** A request as every adapter sends it to its store. */
export interface WireRequest {
  readonly cost: number
  readonly wait: number
  readonly limits: readonly {
    readonly key: string
    /** milliseconds that one unit takes to come back */
    readonly unit: number
    readonly burst: number
  }[]
}

/** @throws GUILD_CACHE_INVALID */
export function toWire(requests: readonly RateRequest[]): readonly WireRequest[] {
  if (requests.length > bounds.requestsMax) throw invalid('take', `more than ${bounds.requestsMax} requests`)
  return requests.map(({ limits, cost = 1, waitMsMax = 0 }) => {
    const first = limits[0]?.key ?? 'take'
    if (limits.length === 0 || limits.length > bounds.limitsMax)
      throw invalid(first, `a request has 1 to ${bounds.limitsMax} limits`)
    if (new Set(limits.map(({ key }) => key)).size < limits.length) throw invalid(first, 'the same limit twice')
    if (!(waitMsMax >= 0 && waitMsMax <= bounds.waitMsMax)) throw invalid(first, 'it waits 0 ms to 24 h')
    for (const limit of limits) {
      if (!(Number.isInteger(cost) && cost >= 1 && cost <= limit.burst))
        throw invalid(limit.key, `a cost of ${cost} never fits a burst of ${limit.burst}`)
    }
    return { cost, wait: waitMsMax, limits: limits.map(limitToWire) }
  })
}

/** @throws GUILD_CACHE_INVALID */
export function limitToWire({ key, rate, periodMs, burst }: RateLimit): WireRequest['limits'][number] {
  checkKey(key)
  // The neighbours of a cluster: a call bound by two limits changes both or none.
  if (!key.startsWith('ratelimit:')) throw invalid(key, 'the name of a limit begins with ratelimit:')
  if (!(rate > 0 && Number.isFinite(rate))) throw invalid(key, 'a rate is above 0')
  if (!(periodMs >= 1 && periodMs <= bounds.ttlMsMax)) throw invalid(key, 'a period is 1 ms to 31 days')
  if (!(Number.isInteger(burst) && burst >= 1 && burst <= 1_000_000_000)) throw invalid(key, 'a burst is 1 or more')
  const unit = periodMs / rate
  if (unit * burst > bounds.ttlMsMax) throw invalid(key, 'it would take more than 31 days to come back to rest')
  return { key, unit, burst }
}

/** @throws GUILD_CACHE_INVALID */
export function checkKey(key: string): void {
  checkText(key, key, bounds.keyBytesMax)
  if (key === '') throw invalid(key, 'the key is empty')
}

/** @throws GUILD_CACHE_INVALID */
export function checkKeys(keys: readonly string[]): void {
  if (keys.length > bounds.keysMax) throw invalid(keys[0] ?? '', `more than ${bounds.keysMax} keys at once`)
  for (const key of keys) checkKey(key)
}

/** @throws GUILD_CACHE_INVALID */
export function checkValue(key: string, value: string): void {
  checkText(key, value, bounds.valueBytesMax)
}

/** Of what is put; what is there counts in the store. @throws GUILD_CACHE_INVALID */
export function checkFields(key: string, fields: Readonly<Record<string, string | null>>): void {
  const entries = Object.entries(fields)
  if (entries.length === 0 || entries.length > bounds.fieldsMax) throw tooManyFields(key)
  let bytes = 0
  for (const [name, value] of entries) {
    checkText(key, name, bounds.keyBytesMax)
    checkText(key, value ?? '', bounds.valueBytesMax)
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value ?? '')
  }
  if (bytes > bounds.valueBytesMax) throw invalid(key, `more than ${bounds.valueBytesMax} bytes`)
}

export function tooManyFields(key: string): GuildError {
  return invalid(key, `a hash has 1 to ${bounds.fieldsMax} fields and ${bounds.valueBytesMax} bytes`)
}

/** @throws GUILD_CACHE_INVALID */
export function checkTtl(key: string, ttlMs: number): void {
  if (!(Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= bounds.ttlMsMax))
    throw invalid(key, 'it lives 1 ms to 31 days')
}

function checkText(key: string, text: string, bytesMax: number): void {
  if (Buffer.byteLength(text) > bytesMax) throw invalid(key, `more than ${bytesMax} bytes`)
  if (text.includes('\u0000') || !text.isWellFormed()) throw invalid(key, 'it is not well-formed text without U+0000')
}

/** The key is cut: it may be what is wrong. */
function invalid(key: string, why: string): GuildError {
  return new GuildError('GUILD_CACHE_INVALID', {
    key: key.slice(0, 60).replaceAll('\u0000', '\\0').toWellFormed(),
    why,
  })
}
