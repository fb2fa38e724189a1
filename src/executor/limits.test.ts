import { describe, expect, it } from 'vitest'
import { fits, standing, type RunLimits, type Spent } from './limits.ts'

const limits: RunLimits = {
  modelCalls: 10,
  toolCalls: 20,
  tokens: 10_000,
  costMicros: 400_000,
  landingReserve: 1_000,
  activeMs: 100_000,
}
const landing = { tokens: 1_000, costMicros: 10_000 }
const nothing: Spent = { modelCalls: 0, toolCalls: 0, tokens: 0, costMicros: 0, activeMs: 0 }

describe('standing', () => {
  it.each<[string, Partial<Spent>, Partial<RunLimits>, string]>([
    ['a fresh run goes', {}, {}, 'go'],
    ['7 of 10 model calls: goes', { modelCalls: 7 }, {}, 'go'],
    ['8 of 10 model calls: is told', { modelCalls: 8 }, {}, 'steer'],
    ['9 of 10 model calls: the tenth is the closing one', { modelCalls: 9 }, {}, 'MAX_STEPS'],
    ['one call allowed: it is a normal one', {}, { modelCalls: 1 }, 'go'],
    ['one call allowed and made', { modelCalls: 1 }, { modelCalls: 1 }, 'MAX_STEPS'],
    ['all tool calls used', { toolCalls: 20 }, {}, 'MAX_TOOL_CALLS'],
    ['no tool call allowed is no limit reached', {}, { toolCalls: 0 }, 'go'],
    ['80 % of the tokens: is told', { tokens: 8_000 }, {}, 'steer'],
    ['only the landing reserve is left', { tokens: 9_000 }, {}, 'BUDGET_RUN'],
    ['80 % of the money: is told', { costMicros: 320_000 }, {}, 'steer'],
    ['all the money', { costMicros: 400_000 }, {}, 'BUDGET_RUN'],
    ['90 % of the time', { activeMs: 90_000 }, {}, 'DEADLINE'],
  ])('%s', (_, spent, other, expected) => {
    const result = standing({ ...nothing, ...spent }, { ...limits, ...other })
    expect(result.kind === 'land' ? result.reason : result.steer === null ? 'go' : 'steer').toBe(expected)
  })

  it('tells the model the numbers', () => {
    const result = standing({ ...nothing, modelCalls: 8, tokens: 4_200 }, limits)
    expect(result).toMatchObject({
      steer: expect.stringContaining('8 of 10 model calls, 0 of 20 tool calls, 4200 of 10000'),
    })
  })
})

describe('fits', () => {
  it.each([
    [9_000, 0, true],
    [9_001, 0, false],
    [100, 390_000, true],
    [100, 390_001, false],
  ])('keeps 1000 tokens and 10000 micro-USD for landing: %d tokens and %d micro-USD: %s', (tokens, cost, expected) => {
    expect(fits({ tokens, costMicros: cost }, landing, nothing, limits)).toBe(expected)
  })

  it('asks no money of a model without a price when nothing may be spent', () => {
    expect(fits({ tokens: 100, costMicros: 0 }, landing, nothing, { ...limits, costMicros: 0 })).toBe(true)
  })
})
