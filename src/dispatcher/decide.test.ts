import { describe, expect, it } from 'vitest'
import { anAgent, anEvent, aRoute, aSnapshot, type EventOverrides } from '../../test/dispatch.ts'
import { type Arrival, decide } from './decide.ts'

const sentinel = anAgent('sentinel', { type: 'Sentinel', maxDepth: 2 })
const scribe = anAgent('scribe', { type: 'Scribe', maxDepth: 5 })
const broken = anAgent('ranger', { type: 'Ranger', unmet: ['it needs Sentinel >=2'] })
const snapshot = aSnapshot(
  [sentinel, scribe, broken],
  [
    aRoute('pr-opened', 'PR_OPENED', ['Sentinel', 'scribe']),
    aRoute('pushed', 'CODE_PUSHED', ['scribe'], { where: "payload.ref == 'main'", priority: 'HIGH' }),
    aRoute('alert', 'ALERT_TRIGGERED', ['scribe'], { source: 'datadog' }),
    aRoute('release', 'RELEASE_PUBLISHED', ['Ranger']),
    aRoute('search', 'PR_MERGED', ['Emissary']),
    aRoute('quiet', 'PR_LABELED', [], { where: "payload.label == 'wip'", mute: 'labels are noise' }),
  ],
)

describe('decide', () => {
  it.each<readonly [string, EventOverrides, Partial<Arrival>, string, string]>([
    ['a known delivery', {}, known('delivery'), 'DUPLICATE', 'the delivery delivery-x was received before'],
    ['a known fact', {}, known('fact'), 'DUPLICATE', 'the same fact is already evt_first'],
    [
      'a replayed body',
      {},
      known('body'),
      'DUPLICATE',
      'the same body was already received as evt_first, under another delivery id',
    ],
    [
      'our confirmed marker',
      { metadata: { marker: 'act_1', self: true } },
      { echo: { invocationId: 'inv_1', causalRoot: 'evt_root', causalDepth: 1 } },
      'SELF_ECHO',
      'our own action act_1 came back as an event',
    ],
    ['our own account without a marker', { metadata: { self: true } }, {}, 'SELF_ECHO', 'ada is our own account'],
    [
      'our own account with a marker we do not know',
      { metadata: { self: true, marker: 'act_2', actor: bot('guild[bot]') } },
      {},
      'SELF_ECHO',
      'guild[bot] is our own account',
    ],
    [
      'a marker copied by somebody',
      { metadata: { self: true, marker: 'act_2' } },
      {},
      'ROUTED',
      'wakes sentinel, scribe',
    ],
    [
      'what has no type',
      { type: 'SOURCE_EVENT_UNMAPPED' },
      {},
      'UNMAPPED',
      'github sent something that has no event type; it is kept and wakes nobody',
    ],
    ['a muted event', { type: 'PR_LABELED', payload: { label: 'wip' } }, {}, 'MUTED', 'labels are noise'],
    [
      'an event beside a mute',
      { type: 'PR_LABELED', payload: { label: 'bug' } },
      {},
      'UNROUTED',
      'no rule is for PR_LABELED from github',
    ],
    [
      'a condition that does not hold',
      { type: 'CODE_PUSHED', payload: { ref: 'dev' } },
      {},
      'FILTERED',
      "routing/events.yaml#pushed: the condition does not hold: payload.ref == 'main'",
    ],
    [
      'a rule for another source',
      { type: 'ALERT_TRIGGERED' },
      {},
      'UNROUTED',
      'no rule is for ALERT_TRIGGERED from github; the nearest is routing/events.yaml#alert, for ALERT_TRIGGERED from datadog',
    ],
    [
      'a misspelled type',
      { type: 'PR_OPENDE' },
      {},
      'UNROUTED',
      'no rule is for PR_OPENDE from github; the nearest is routing/events.yaml#pr-opened, for PR_OPENED',
    ],
    ['a type like no other', { type: 'MOON_FULL' }, {}, 'UNROUTED', 'no rule is for MOON_FULL from github'],
    [
      'a rule whose agent does not exist here',
      { type: 'PR_MERGED' },
      {},
      'FILTERED',
      'routing/events.yaml#search: no Emissary serves events without a chapter',
    ],
    ['a degraded agent', { type: 'RELEASE_PUBLISHED' }, {}, 'UNROUTED', 'ranger is degraded: it needs Sentinel >=2'],
    ['a matching rule', {}, {}, 'ROUTED', 'wakes sentinel, scribe'],
    ['a bot two deep', { metadata: { actor: bot('other') } }, cause(2), 'ROUTED', 'wakes sentinel, scribe'],
    [
      'a bot three deep, too deep for one agent',
      { metadata: { actor: bot('other') } },
      cause(3),
      'ROUTED',
      'wakes scribe',
    ],
    [
      'a bot six deep, too deep for all',
      { metadata: { actor: bot('other') } },
      cause(6),
      'LOOP_STOPPED',
      'sentinel may act on causes up to 2 deep, this is 6 deep in the tree of evt_root; scribe may act on causes up to 5 deep, this is 6 deep in the tree of evt_root',
    ],
  ])('%s → %s', (_what, over, arrival, disposition, reason) => {
    const event = anEvent({ ...over, metadata: { delivery_id: 'delivery-x', ...over.metadata } })
    const [ruling] = decide([{ event, known: { original: null, cause: null }, echo: null, ...arrival }], snapshot, [
      'Guild[bot]',
    ])
    expect([ruling?.disposition, ruling?.reason]).toEqual([disposition, reason])
  })

  it('gives each agent the priority of the rule, else of the event', () => {
    const priorities = [
      anEvent({ type: 'CODE_PUSHED', payload: { ref: 'main' } }),
      anEvent({ metadata: { priority: 'LOW' } }),
    ]
      .flatMap((event) => decide([fresh(event)], snapshot))
      .flatMap(({ wakings }) => wakings.map(({ agentId, priority }) => `${agentId} ${priority}`))
    expect(priorities).toEqual(['scribe HIGH', 'sentinel LOW', 'scribe LOW'])
  })

  it('wakes the agent of the event’s chapter', () => {
    const own = anAgent('sentinel-payments', { type: 'Sentinel', chapter: 'payments' })
    const withChapter = aSnapshot([sentinel, own], [aRoute('pr-opened', 'PR_OPENED', ['Sentinel'])])
    const [ruling] = decide([fresh(anEvent({ metadata: { chapter: 'payments' } }))], withChapter)
    expect(ruling?.wakings).toMatchObject([{ agentId: 'sentinel-payments', chapter: 'payments' }])
  })

  it('computes the same run for the same event and agent', () => {
    const event = anEvent()
    const ids = [1, 2].map(() => decide([fresh(event)], snapshot)[0]?.wakings.map(({ invocationId }) => invocationId))
    expect(ids[0]).toEqual(ids[1])
  })

  it('places an event in the tree of the action it follows', () => {
    const [ruling] = decide([{ ...fresh(anEvent()), ...cause(2) }], snapshot)
    expect(ruling?.event.metadata.causal).toEqual({ root: 'evt_root', depth: 2, parent: 'inv_9' })
  })

  it('keeps the deeper place when the event names one itself', () => {
    const event = anEvent({ metadata: { causal: { root: 'evt_other', depth: 4, parent: 'inv_4' } } })
    const [ruling] = decide([{ ...fresh(event), ...cause(2) }], snapshot)
    expect(ruling?.event.metadata.causal).toEqual({ root: 'evt_other', depth: 4, parent: 'inv_4' })
  })

  it('finds repetitions within one batch', () => {
    const first = anEvent({ metadata: { delivery_id: 'd1', dedup_key: 'k1', body_hash: 'b1' } })
    const batch = [
      first,
      anEvent({ metadata: { delivery_id: 'd1', dedup_key: 'k1', body_hash: 'b1' } }),
      anEvent({ id: 'evt_same_delivery', metadata: { delivery_id: 'd1', dedup_key: 'k2', body_hash: 'b1' } }),
      anEvent({ metadata: { delivery_id: 'd2', dedup_key: 'k1', body_hash: 'b2' } }),
      anEvent({ metadata: { delivery_id: 'd3', dedup_key: 'k3', body_hash: 'b1' } }),
      anEvent({ source: 'jira', metadata: { delivery_id: 'd3', dedup_key: 'k1', body_hash: 'b1' } }),
    ]
    const rulings = decide(batch.map(fresh), snapshot)
    expect(rulings.map(({ disposition, duplicateOf }) => [disposition, duplicateOf === first.id])).toEqual([
      ['ROUTED', false],
      ['DUPLICATE', true],
      ['ROUTED', false],
      ['DUPLICATE', true],
      ['DUPLICATE', true],
      ['ROUTED', false],
    ])
  })
})

function fresh(event: Arrival['event']): Arrival {
  return { event, known: { original: null, cause: null }, echo: null }
}

function known(by: 'delivery' | 'fact' | 'body'): Partial<Arrival> {
  return { known: { original: { eventId: 'evt_first', by }, cause: null } }
}

function cause(depth: number): Partial<Arrival> {
  return { known: { original: null, cause: { actionId: 'act_9', root: 'evt_root', depth, parent: 'inv_9' } } }
}

function bot(id: string) {
  return { kind: 'bot', id, display: id, integrity: 'public' } as const
}
