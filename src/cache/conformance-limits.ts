import { expect, it } from 'vitest'
import type { RateLimit } from './cache.ts'
import { aKey, aLimit, Buckets, type CacheHarness, dice, perMs, TestClock } from './conformance-kit.ts'

export function limitRules(harness: () => CacheHarness): void {
  it('lets a burst through at once and then one unit at a time', async () => {
    const clock = new TestClock()
    const cache = harness().open(clock)
    const limits = [aLimit({ rate: 60, burst: 2 })]
    const take = async () => (await cache.take([{ limits }]))[0]
    expect(await take()).toMatchObject({ allowed: true, waitMs: 0, remaining: 1, boundBy: null })
    expect(await take()).toMatchObject({ allowed: true, waitMs: 0, remaining: 0 })
    const refused = await take()
    expect(refused).toMatchObject({ allowed: false, waitMs: 0, remaining: 0, boundBy: limits[0]?.key })
    expect(refused?.retryAfterMs).toBeCloseTo(1_000, 1)
    expect(refused?.resetMs).toBeCloseTo(2_000, 1)
    clock.advance(999)
    expect(await take()).toMatchObject({ allowed: false })
    clock.advance(1)
    expect(await take()).toMatchObject({ allowed: true })
  })

  it('uses nothing of the other limits when one refuses', async () => {
    const cache = harness().open(new TestClock())
    const connector = aLimit({ burst: 5 })
    const tenant = aLimit({ burst: 1 })
    const verdicts = await cache.take([{ limits: [tenant] }, { limits: [connector, tenant] }, { limits: [connector] }])
    expect(verdicts.map(({ allowed }) => allowed)).toEqual([true, false, true])
    expect(verdicts[1]?.boundBy).toBe(tenant.key)
    expect(await cache.peek([connector, tenant])).toMatchObject([{ remaining: 4 }, { remaining: 0 }])
  })

  it('peeks without using anything', async () => {
    const cache = harness().open(new TestClock())
    const limit = aLimit({ burst: 3 })
    await cache.peek([limit])
    expect(await cache.peek([limit])).toEqual([{ remaining: 3, resetMs: 0 }])
  })

  it('reserves slots one after another for those who wait, and none beyond their patience', async () => {
    const cache = harness().open(new TestClock())
    const request = { limits: [aLimit({ rate: 60 })], waitMsMax: 2_500 }
    const verdicts = await cache.take([request, request, request, request])
    const waits = verdicts.map(({ allowed, waitMs }) => (allowed ? Math.round(waitMs) : null))
    expect(waits).toEqual([0, 1_000, 2_000, null])
    expect(verdicts[3]?.retryAfterMs).toBeCloseTo(500, 1)
  })

  it('keeps what was used when the rate of a limit changes', async () => {
    const clock = new TestClock()
    const cache = harness().open(clock)
    const limit = aLimit({ rate: 1, periodMs: 60_000 })
    await cache.take([{ limits: [limit] }])
    const faster = { ...limit, rate: 60 }
    expect(await cache.take([{ limits: [faster] }])).toMatchObject([{ allowed: false }])
    clock.advance(60_000)
    expect(await cache.take([{ limits: [faster] }])).toMatchObject([{ allowed: true }])
  })

  it('lets no more than the burst through when many processes ask at once, by the time of the store', async () => {
    const [one, two] = [harness().open('store'), harness().open('store')]
    const limits = [aLimit({ burst: 10, periodMs: 3_600_000 })]
    const asked = Array.from({ length: 40 }, (_, index) => (index % 2 ? one : two).take([{ limits }]))
    const verdicts = (await Promise.all(asked)).flat()
    expect(verdicts.filter(({ allowed }) => allowed)).toHaveLength(10)
  })

  it('decides as buckets of units do, whatever is asked', async () => {
    for (const seed of [1, 2, 3]) expect(await compare(harness(), seed)).toBeGreaterThan(50)
  })
}

/** 60 calls of up to four requests each against the reference, then all grants against each limit alone. @returns grants */
async function compare(harness: CacheHarness, seed: number): Promise<number> {
  const roll = dice(seed)
  const clock = new TestClock()
  const caches = [harness.open(clock), harness.open(clock)] as const
  const units = [7, 100, 333.25, 1_000, 7_200]
  const limits = units.map((unit, index) => aLimit({ rate: 60_000 / unit, burst: 1 + roll(4 * (index + 1)) }))
  const model = new Buckets()
  const grants: { readonly limit: RateLimit; readonly at: number; readonly cost: number }[] = []
  for (let call = 0; call < 60; call += 1) {
    clock.advance(roll(3) === 0 ? roll(20_000) : roll(300))
    const requests = Array.from({ length: 1 + roll(4) }, () => {
      const chosen = limits.filter(() => roll(2) === 0)
      const mine = chosen.length > 0 ? chosen : limits.slice(0, 1)
      const cost = 1 + roll(Math.min(...mine.map(({ burst }) => burst)))
      return { limits: mine, cost, waitMsMax: roll(2) * roll(5_000) }
    })
    const now = clock.now().getTime()
    const verdicts = await (call % 2 ? caches[0] : caches[1]).take(requests)
    for (const [index, request] of requests.entries()) {
      const { boundBy, ...verdict } = verdicts[index] ?? { boundBy: null }
      expect(rounded(verdict), `seed ${seed}, call ${call}, ${boundBy}`).toEqual(rounded(model.take(request, now)))
      if (!('allowed' in verdict) || !verdict.allowed) continue
      for (const limit of request.limits) grants.push({ limit, at: now + verdict.waitMs, cost: request.cost })
    }
  }
  for (const limit of limits) keptBy(limit, grants)
  return grants.length
}

function keptBy(limit: RateLimit, grants: readonly { limit: RateLimit; at: number; cost: number }[]): void {
  let level = limit.burst
  let last = 0
  for (const grant of grants.filter((one) => one.limit === limit).toSorted((a, b) => a.at - b.at)) {
    level = Math.min(limit.burst, level + (grant.at - last) * perMs(limit)) - grant.cost
    last = grant.at
    expect(level).toBeGreaterThan(-0.01)
  }
}

/** To the hundredth: the store counts in doubles. */
function rounded(verdict: object): object {
  const entries: [string, unknown][] = Object.entries(verdict)
  return Object.fromEntries(
    entries.map(([name, value]) => [name, typeof value === 'number' ? Math.round(value * 100) / 100 + 0 : value]),
  )
}

export function limitBounds(harness: () => CacheHarness): void {
  it.each([
    ['a cost that never fits', () => [{ limits: [aLimit({ burst: 2 })], cost: 3 }]],
    ['no limit at all', () => [{ limits: [] }]],
    ['a limit twice', () => [{ limits: [aLimit({ key: 'ratelimit:a' }), aLimit({ key: 'ratelimit:a' })] }]],
    ['a rate of nothing', () => [{ limits: [aLimit({ rate: 0 })] }]],
    ['a rate that is no number', () => [{ limits: [aLimit({ rate: Number.NaN })] }]],
    ['a name of another kind', () => [{ limits: [aLimit({ key: aKey('user') })] }]],
    ['more requests than a call takes', () => Array.from({ length: 101 }, () => ({ limits: [aLimit()] }))],
    ['an endless patience', () => [{ limits: [aLimit()], waitMsMax: Number.POSITIVE_INFINITY }]],
  ])('refuses %s', async (_, requests) => {
    await expect(harness().open('store').take(requests())).rejects.toMatchObject({ code: 'GUILD_CACHE_INVALID' })
  })
}
