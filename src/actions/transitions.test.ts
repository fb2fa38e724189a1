import { describe, expect, it } from 'vitest'
import { admission, afterFailure, type Breaker, closedBreaker } from '../kernel/breaker.ts'
import { afterCall, afterLapse, afterProbe, type Attempt } from './transitions.ts'

const now = new Date('2026-11-22T12:00:00Z')
const attempt: Attempt = {
  attempts: 1,
  probes: 0,
  sentAt: new Date(now.getTime() - 1_000),
  expiresAt: new Date(now.getTime() + 3_600_000),
  probeAfterMs: [2_000, 10_000, 24_000],
  now,
  random: 0,
}
const inMs = (ms: number) => new Date(now.getTime() + ms)
const notDone = { kind: 'not-done', reason: '503', retryAfterMs: 0, rateLimited: false } as const
const limited = { ...notDone, retryAfterMs: 60_000, rateLimited: true }

describe('afterCall', () => {
  it.each([
    [
      'a 2xx',
      { kind: 'done', remoteId: '7', url: null, detail: {} },
      {},
      { state: 'SUCCEEDED', confirmedBy: 'response' },
    ],
    ['a refusal', { kind: 'rejected', reason: '404' }, {}, { state: 'FAILED' }],
    ['no answer', { kind: 'unknown', reason: 'reset' }, {}, { state: 'AMBIGUOUS', nextAt: inMs(1_000), probes: 0 }],
    ['certainly not done', notDone, {}, { state: 'RETRY', nextAt: inMs(500) }],
    ['the third time', notDone, { attempts: 3 }, { state: 'RETRY', nextAt: inMs(2_000) }],
    ['the eighth time', notDone, { attempts: 8 }, { state: 'FAILED' }],
    ['a limit', limited, {}, { state: 'RETRY', nextAt: inMs(60_000) }],
    ['a limit, the eighth time', limited, { attempts: 8 }, { state: 'RETRY', nextAt: inMs(64_000) }],
    ['a limit beyond the deadline', { ...limited, retryAfterMs: 3_600_000 }, {}, { state: 'EXPIRED' }],
  ] as const)('after %s', (_, outcome, change, expected) => {
    expect(afterCall(outcome, { ...attempt, ...change })).toMatchObject(expected)
  })

  it('never waits longer than 15 minutes of its own accord', () => {
    const late = { ...attempt, attempts: 7, random: 0.999, expiresAt: inMs(24 * 3_600_000) }
    expect(afterCall(notDone, late).nextAt.getTime()).toBeLessThanOrEqual(inMs(15 * 60_000).getTime())
  })
})

describe('afterProbe', () => {
  it.each([
    [
      'found',
      { kind: 'found', remoteId: '7', url: null, detail: {} },
      {},
      { state: 'SUCCEEDED', confirmedBy: 'probe' },
    ],
    ['absent, too early to be sure', { kind: 'absent' }, {}, { state: 'AMBIGUOUS', probes: 1, nextAt: inMs(9_000) }],
    ['absent after the last lag', { kind: 'absent' }, { probes: 2 }, { state: 'READY', probes: 0 }],
    ['absent after eight calls', { kind: 'absent' }, { probes: 2, attempts: 8 }, { state: 'FAILED' }],
    ['no answer', { kind: 'unknown', reason: '502', retryAfterMs: 0 }, {}, { state: 'AMBIGUOUS', probes: 1 }],
    [
      'no answer for the eighth time',
      { kind: 'unknown', reason: '502', retryAfterMs: 0 },
      { probes: 7 },
      { state: 'PARKED' },
    ],
  ] as const)('after %s', (_, probe, change, expected) => {
    expect(afterProbe(probe, { ...attempt, ...change })).toMatchObject(expected)
  })

  it('never probes before the lag of the target has passed', () => {
    expect(afterLapse(attempt)).toMatchObject({ state: 'AMBIGUOUS', nextAt: inMs(1_000) })
    expect(afterLapse({ ...attempt, sentAt: inMs(-60_000) }).nextAt).toEqual(now)
  })
})

describe('the breaker', () => {
  const failTimes = (count: number, everyMs: number): Breaker => {
    let breaker = closedBreaker
    for (let n = 0; n < count; n += 1) breaker = afterFailure(breaker, inMs(n * everyMs))
    return breaker
  }

  it('opens at the fifth failure in a row within a minute', () => {
    expect(failTimes(4, 1_000).state).toBe('CLOSED')
    expect(failTimes(5, 1_000)).toMatchObject({ state: 'OPEN', openings: 1, retryAt: inMs(34_000) })
  })

  it('stays closed when failures are further apart', () => {
    expect(failTimes(12, 16_000).state).toBe('CLOSED')
  })

  it('lets one trial through after its wait, and waits twice as long when that fails', () => {
    const open = failTimes(5, 0)
    expect(admission(open, inMs(29_999))).toEqual({ kind: 'wait', until: inMs(30_000) })
    expect(admission(open, inMs(30_000))).toEqual({ kind: 'trial' })
    const again = afterFailure({ ...open, state: 'HALF_OPEN' }, inMs(30_000))
    expect(again).toMatchObject({ state: 'OPEN', openings: 2, retryAt: inMs(90_000) })
  })

  it('never waits longer than 15 minutes', () => {
    expect(afterFailure({ ...closedBreaker, state: 'HALF_OPEN', openings: 20 }, now).retryAt).toEqual(inMs(15 * 60_000))
  })
})
