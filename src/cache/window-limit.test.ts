import { describe, expect, it } from 'vitest'
import { readCallRate, spanName } from '../kernel/call-rate.ts'
import { Buckets } from './conformance-kit.ts'
import { windowLimit } from './window-limit.ts'

describe('windowLimit', () => {
  it.each([
    { calls: 1, perMs: 1_000 },
    { calls: 9, perMs: 1_000 },
    { calls: 80, perMs: 60_000 },
    { calls: 500, perMs: 3_600_000 },
  ])('lets exactly $calls calls through in the busiest span of $perMs ms', (rate) => {
    const limit = windowLimit('github', rate)
    const buckets = new Buckets()
    const grants: number[] = []
    const stepMs = rate.perMs / 4_000
    for (let now = 1; now < rate.perMs * 3; now += stepMs)
      while (buckets.take({ limits: [limit] }, now).allowed) grants.push(now)
    const within = grants.map((at) => grants.filter((other) => other >= at && other < at + rate.perMs).length)
    expect(Math.max(...within)).toBe(rate.calls)
  })

  it('is named after its connector and its span, as in the seed', () => {
    const keys = ['5/1s', '80/1m', '500/1h', '9/1d', '7/90s', '7/5m'].map((text) => {
      const rate = readCallRate(text)
      return rate && windowLimit('jira-api', rate).key.slice('ratelimit:jira-api:'.length)
    })
    expect(keys).toEqual(['second', 'minute', 'hour', 'day', '90s', '5m'])
  })
})

describe('readCallRate', () => {
  it.each(['', '80', '80/m', '0/1m', '80/0m', '-1/1m', '80/1ms', '80/8d', '1e3/1m', '80 / 1m'])(
    'refuses %j',
    (text) => {
      expect(readCallRate(text)).toBeNull()
    },
  )

  it('reads calls and span', () => {
    expect(readCallRate('80/1m')).toEqual({ calls: 80, perMs: 60_000 })
    expect(spanName(500)).toBe('500ms')
  })
})
