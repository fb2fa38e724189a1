import { describe, expect, it } from 'vitest'
import { agent as agentSchema, chapter as chapterSchema, policy as policySchema } from '../codex/kinds.ts'
import { budgetLimits } from './limits.ts'
import { budgetId, periodOf } from './period.ts'

const at = new Date('2026-12-31T23:59:59.999Z')

describe('periodOf', () => {
  it.each([
    ['hour', '2026-12-31T23:00:00.000Z', '2027-01-01T00:00:00.000Z'],
    ['day', '2026-12-31T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
    ['month', '2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
    ['run', '1970-01-01T00:00:00.000Z', '9999-12-31T00:00:00.000Z'],
  ] as const)('a %s runs from %s to %s, UTC', (kind, start, end) => {
    const period = periodOf(kind, at)
    expect([period.start.toISOString(), period.end.toISOString()]).toEqual([start, end])
  })
})

describe('budgetId', () => {
  it('sorts as the lock order: organisation, chapter, agent, tree, run; then hour, day, month', () => {
    const inOrder = [
      { entityType: 'organization', entityId: 'zz', kind: 'hour' },
      { entityType: 'organization', entityId: 'aa', kind: 'day' },
      { entityType: 'organization', entityId: 'aa', kind: 'month' },
      { entityType: 'chapter', entityId: 'zz', kind: 'hour' },
      { entityType: 'chapter', entityId: 'aa', kind: 'month' },
      { entityType: 'agent', entityId: 'aa', kind: 'month' },
      { entityType: 'tree', entityId: 'zz', kind: 'tree' },
      { entityType: 'run', entityId: 'aa', kind: 'run' },
    ] as const
    const ids = inOrder.map((limit) => budgetId(limit, periodOf(limit.kind, at)))
    expect(ids.toSorted()).toEqual(ids)
    expect(new Set(ids).size).toBe(ids.length)
  })
})

describe('budgetLimits', () => {
  const sentinel = {
    id: 'sentinel',
    manifest: agentSchema.parse({
      apiVersion: 'guild/v1',
      kind: 'Agent',
      metadata: { name: 'sentinel', type: 'Sentinel', version: '1.0.0', owner: 'core' },
      spec: {
        prompt: { system: 'prompts/s.md' },
        limits: { tokensPerInvocation: 5_000, costPerInvocation: 0.1 },
      },
    }),
  }

  it('takes the strictest of several policies, per period and dimension', () => {
    const limits = budgetLimits(
      {
        policies: [
          aPolicy({ tokens: { daily: 1_000 }, cost: { monthly: 50 } }),
          aPolicy({ tokens: { daily: 400, hourly: 90 }, cost: { monthly: 80 } }),
          aPolicy(undefined),
        ],
        chapters: new Map(),
      },
      sentinel,
      null,
      'acme',
      { invocationId: 'inv_1', causalRoot: 'evt_1' },
    )
    expect(limits.map(shown)).toEqual([
      'organization acme hour 90 -',
      'organization acme day 400 -',
      'organization acme month - 50000000',
      'agent sentinel month - -',
      'tree evt_1 tree - 2000000',
      'run inv_1 run 5000 100000',
    ])
  })

  it('names the chapter, with its quota if it has one and without a limit if not', () => {
    const chapters = new Map([['payments', aChapter({ tokens: { daily: 700 }, cost: { daily: 1.5 } })]])
    const names = (chapter: string) =>
      budgetLimits({ policies: [], chapters }, sentinel, chapter, 'acme', {
        invocationId: 'inv_1',
        causalRoot: 'evt_1',
      })
        .map(shown)
        .filter((line) => line.startsWith('chapter'))
    expect(names('payments')).toEqual(['chapter payments day 700 1500000', 'chapter payments month - -'])
    expect(names('unknown')).toEqual(['chapter unknown month - -'])
  })
})

function shown(limit: ReturnType<typeof budgetLimits>[number]): string {
  return [limit.entityType, limit.entityId, limit.kind, limit.tokens ?? '-', limit.costMicros ?? '-'].join(' ')
}

function aPolicy(budget: unknown) {
  return policySchema.parse({ apiVersion: 'guild/v1', kind: 'Policy', metadata: { name: 'p' }, spec: { budget } })
}

function aChapter(budget: unknown) {
  return chapterSchema.parse({
    apiVersion: 'guild/v1',
    kind: 'Chapter',
    metadata: { name: 'payments' },
    spec: { budget },
  })
}
