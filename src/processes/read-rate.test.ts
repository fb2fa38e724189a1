import { beforeEach, expect, it } from 'vitest'
import { HandClock } from '../../test/actions.ts'
import type { RateRequest, RateVerdict } from '../cache/cache.ts'
import { Buckets } from '../cache/conformance-kit.ts'
import { connector } from '../codex/kind-connector.ts'
import { GuildError } from '../kernel/errors.ts'
import { silentLog } from '../kernel/log.ts'
import { readRates } from './read-rate.ts'

const signal = new AbortController().signal
let clock: HandClock
let takes: number
let reachable: boolean
let admission: ReturnType<typeof readRates>

beforeEach(() => {
  clock = new HandClock()
  takes = 0
  reachable = true
  const buckets = new Buckets()
  const take = (requests: readonly RateRequest[]): Promise<readonly RateVerdict[]> => {
    takes += 1
    if (!reachable) return Promise.reject(new GuildError('GUILD_REDIS_UNAVAILABLE', { why: 'cut' }))
    const decide = (request: RateRequest) => ({ ...buckets.take(request, clock.now().getTime()), boundBy: null })
    return Promise.resolve(requests.map(decide))
  }
  admission = readRates({ cache: { take }, clock, log: silentLog, onRateWait: () => undefined })
})

function file(reads?: readonly string[]) {
  const spec = { system: 'github', rate: reads ? { reads } : {} }
  return connector.parse({ apiVersion: 'guild/v1', kind: 'Connector', metadata: { name: 'github' }, spec })
}

async function admitted(count: number, reads?: readonly string[], url = 'https://api.github.com', token = true) {
  const admit = admission(file(reads), url, token)
  const answers = await Promise.all(Array.from({ length: count }, () => admit(signal)))
  return answers.filter((answer) => answer === null).length
}

it('asks the store once for ten reads', async () => {
  expect(await admitted(25)).toBe(25)
  expect(takes).toBe(3)
})

it('refuses, and says for how long, when the limit is used up', async () => {
  // A tenth of twenty at once, in portions of two.
  expect(await admitted(3, ['20/1h'])).toBe(2)
  expect(await admission(file(['20/1h']), 'https://api.github.com', true)(signal)).toMatchObject({
    retryAfterMs: expect.closeTo((2 * 3_600_000) / 19 - 2_000, 0) as number,
  })
})

it('knows what GitHub bears without a token', async () => {
  expect(await admitted(100, undefined, 'https://api.github.com', false)).toBe(6)
})

it('does not limit a server of one’s own unless its connector says so', async () => {
  expect(await admitted(500, undefined, 'https://ghe.example.org/api/v3')).toBe(500)
  expect(await admitted(500, [])).toBe(500)
  expect(takes).toBe(0)
})

it('reads on when the cache cannot be reached', async () => {
  reachable = false
  expect(await admitted(12)).toBe(12)
})
