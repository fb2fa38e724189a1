import { describe, expect, it } from 'vitest'
import { GuildError } from '../kernel/errors.ts'
import type { Claim } from './claims.ts'
import { failed, rejected, resolved } from './outcomes.ts'

const rules = { attemptsMax: 3, random: 0 }
const claim = (id: string, attempt = 1): Claim => ({
  handle: id,
  body: '{}',
  delivery: { id, topic: 't', key: null, priority: 'NORMAL', attempt, publishedAt: new Date(0) },
})

describe('outcomes', () => {
  it('acknowledges what no nack names', () => {
    const batch = [claim('a'), claim('b')]
    expect(resolved(batch, [{ id: 'b', reason: 'no', delayMs: 7 }], rules)).toEqual([
      { claim: batch[0], kind: 'ack' },
      { claim: batch[1], kind: 'return', delayMs: 7, reason: 'no' },
    ])
  })

  it.each([
    ['backs off from half a second to one on the first attempt', 1, { reason: 'r' }, { kind: 'return', delayMs: 500 }],
    ['doubles on the second', 2, { reason: 'r' }, { kind: 'return', delayMs: 1_000 }],
    ['buries on the last', 3, { reason: 'r', delayMs: 9 }, { kind: 'dead' }],
    ['buries when told so', 1, { reason: 'r', dead: true }, { kind: 'dead' }],
    ['never waits longer than a day', 1, { reason: 'r', delayMs: 1e12 }, { kind: 'return', delayMs: 86_400_000 }],
    ['never waits less than nothing', 1, { reason: 'r', delayMs: -5 }, { kind: 'return', delayMs: 0 }],
    ['keeps reasons storable', 1, { reason: `a\0${'b'.repeat(600)}`, dead: true }, { reason: `a${'b'.repeat(498)}` }],
  ])('%s', (_, attempt, nack, expected) => {
    expect(failed(claim('a', attempt), nack, rules)).toMatchObject(expected)
  })

  it('returns a whole batch after what its error asks for', () => {
    const error = new GuildError('GUILD_TARGET_RATE_LIMITED', { system: 's', why: 'w' }, { retryAfterMs: 42 })
    expect(rejected([claim('a'), claim('b', 3)], error, rules)).toMatchObject([
      { kind: 'return', delayMs: 42, reason: 's limits the rate: w' },
      { kind: 'dead', reason: 's limits the rate: w' },
    ])
  })
})
