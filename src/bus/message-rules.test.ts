import { describe, expect, it } from 'vitest'
import { matchesTopic, rankOf, subscriptionOf } from './message-rules.ts'

describe('message rules', () => {
  it.each([
    ['guild.dead', 'guild.dead', true],
    ['guild.dead', 'guild.dead.x', false],
    ['guild.events.agent.*', 'guild.events.agent.ranger', true],
    ['guild.events.agent.*', 'guild.events.agents', false],
    ['*', 'anything', true],
  ])('%s against %s: %s', (pattern, topic, expected) => {
    expect(matchesTopic(pattern, topic)).toBe(expected)
  })

  it('makes 30 s of waiting worth one lane', () => {
    expect(rankOf(3, new Date(0))).toBe(rankOf(2, new Date(30_000)))
    expect(rankOf(3, new Date(0))).toBeGreaterThan(rankOf(2, new Date(29_999)))
  })

  it('fills in the defaults of a subscription', () => {
    const subscription = { topic: 't', group: 'g', maxInFlight: 4 }
    expect(subscriptionOf({ ...subscription, batchMax: 10 })).toEqual({
      ...subscription,
      batchMax: 4,
      attemptsMax: 10,
      leaseMs: 15_000,
      from: 'earliest',
    })
  })

  it('refuses a subscription that could never take anything', () => {
    expect(() => subscriptionOf({ topic: 't', group: 'g', maxInFlight: 0 })).toThrow('maxInFlight = 0')
  })
})
