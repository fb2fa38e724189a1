import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { anAgent, anEvent, aRoute, aSnapshot, RecordingOutbox, text } from '../../test/dispatch.ts'
import type { Delivery } from '../bus/bus.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { systemClock } from '../kernel/clock.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { silentLog } from '../kernel/log.ts'
import { dispatcher, type DispatcherDeps } from './dispatcher.ts'
import { listEvents, readEvent } from './events.ts'
import { reconcile } from './reconcile.ts'
import { why } from './why.ts'

const snapshot = aSnapshot(
  ['sentinel', 'scribe', 'ranger', 'emissary'].map((id) => anAgent(id)),
  [
    aRoute('pr-opened', 'PR_OPENED', ['sentinel', 'scribe']),
    aRoute('merged', 'PR_MERGED', ['ranger', 'emissary']),
    aRoute('pushed', 'CODE_PUSHED', ['scribe'], { where: "payload.ref == 'main'" }),
  ],
)
let db: Database
let outbox: RecordingOutbox

beforeAll(async () => {
  db = await openTestDatabase()
})
beforeEach(async () => {
  outbox = new RecordingOutbox()
  await db.query(
    text(
      'TRUNCATE guild_core.events, guild_core.event_keys, guild_core.receipts, guild_core.decisions, guild_core.invocations CASCADE',
    ),
  )
})
afterAll(async () => {
  await db.close()
})

describe('the dispatcher', () => {
  it('turns an event into one run, one decision and one message per agent', async () => {
    const event = anEvent()
    await send([event])
    const story = await why(db, event.id)
    expect(story.event).toMatchObject({ disposition: 'ROUTED', invocations: 2, rule: 'routing/events.yaml#pr-opened' })
    expect(story.invocations.map((run) => `${run.agent_id} ${run.state} ${run.codex_commit}`).toSorted()).toEqual([
      `scribe QUEUED ${snapshot.commit}`,
      `sentinel QUEUED ${snapshot.commit}`,
    ])
    expect(story.decisions.map(({ outcome, agent_id }) => [outcome, agent_id])).toEqual([
      ['ROUTED', null],
      ['ROUTED', 'sentinel'],
      ['ROUTED', 'scribe'],
    ])
    const run = story.invocations.find(({ agent_id }) => agent_id === 'sentinel')
    expect(outbox.on('guild.events.agent.sentinel')).toEqual([
      { id: run?.id, priority: 'NORMAL', body: { invocation_id: run?.id } },
    ])
    expect(outbox.on('guild.audit.log')).toHaveLength(1)
  })

  it('changes nothing when the bus delivers a reception again', async () => {
    const event = anEvent()
    await send([event])
    const before = outbox.sent.length
    await send([event, event])
    expect(outbox.sent).toHaveLength(before)
    expect(await reconcile(db)).toEqual({ received: 1, dispositions: { ROUTED: 1 }, difference: 0 })
  })

  it('makes one event and one run of fifty receptions, in one batch or in many', async () => {
    const receptions = Array.from({ length: 50 }, () =>
      anEvent({ metadata: { delivery_id: 'guid-1', dedup_key: 'fact-of-50' } }),
    )
    await send(receptions.slice(0, 25))
    await Promise.all(receptions.slice(25).map((event) => send([event])))
    expect(await reconcile(db)).toEqual({ received: 50, dispositions: { ROUTED: 1, DUPLICATE: 49 }, difference: 0 })
    expect(outbox.on('guild.events.agent.sentinel')).toHaveLength(1)
    expect((await listEvents(db)).items).toHaveLength(1)
    expect((await listEvents(db, { disposition: 'DUPLICATE', limit: 100 })).items).toHaveLength(49)
    expect(await readEvent(db, receptions[0]?.id ?? '')).toMatchObject({ receptions: 50, invocations: 2 })
  })

  it('knows the same fact from another hook, and a replayed body under a forged delivery id', async () => {
    const first = anEvent({ metadata: { dedup_key: 'fact-a', body_hash: 'hash-a' } })
    const hook = anEvent({ metadata: { dedup_key: 'fact-a', body_hash: 'hash-b' } })
    const forged = anEvent({ metadata: { dedup_key: 'fact-c', body_hash: 'hash-a' } })
    const dayLater = anEvent({
      metadata: { dedup_key: 'fact-d', body_hash: 'hash-a', received_at: '2026-11-23T10:00:02Z' },
    })
    for (const event of [first, hook, forged, dayLater]) await send([event])
    const told = await Promise.all([hook, forged, dayLater].map(async (event) => why(db, event.id)))
    expect(told.map((story) => story.event_id)).toEqual([first.id, first.id, dayLater.id])
    expect(told[0]?.receipts.map(({ disposition }) => disposition)).toEqual(['ROUTED', 'DUPLICATE', 'DUPLICATE'])
  })

  it('lets several events of one delivery through: they share its body', async () => {
    const both = ['CODE_PUSHED', 'BRANCH_FORCE_PUSHED'].map((type, index) =>
      anEvent({ id: `evt_of_one_${index}`, type, metadata: { delivery_id: 'one', body_hash: 'hash-one' } }),
    )
    for (const event of both) await send([event])
    expect(await reconcile(db)).toMatchObject({
      received: 2,
      dispositions: { FILTERED: 1, UNROUTED: 1 },
      difference: 0,
    })
  })

  it('keeps what is no event as DEAD, once, without holding up its neighbours', async () => {
    const good = anEvent()
    const batch = [
      delivery(good),
      delivery({ ...anEvent(), type: 7 }),
      delivery('text'),
      delivery({ ...anEvent(), metadata: null }),
    ]
    const nacks = await handle(batch)
    await handle(batch)
    expect(nacks).toHaveLength(3)
    expect(nacks?.[0]).toMatchObject({ dead: true, reason: expect.stringMatching(/^it is no event: type: /) })
    expect(await reconcile(db)).toEqual({ received: 4, dispositions: { ROUTED: 1, DEAD: 3 }, difference: 0 })
    const [dead] = (await listEvents(db, { disposition: 'DEAD' })).items
    expect(await why(db, dead?.receipt_id ?? '')).toMatchObject({
      event: null,
      verdict: expect.stringContaining('could not be read'),
    })
  })

  it('returns only the event that the database refuses', async () => {
    const poison = anEvent({ payload: { text: 'a\u0000b' } })
    const batch = [delivery(anEvent()), delivery(poison), delivery(anEvent())]
    const nacks = await handle(batch)
    expect(nacks?.map(({ id, dead }) => [id, dead])).toEqual([[batch[1]?.id, undefined]])
    expect(await reconcile(db)).toMatchObject({ received: 2, difference: 0 })
  })

  it('ends an event that the database refuses to the last with the disposition DEAD', async () => {
    const poison = anEvent({ payload: { text: 'a\u0000b' }, metadata: { delivery_id: 'x\u0000y' } })
    const last = { ...delivery(poison), attempt: 10 }
    const nacks = await handle([last, delivery(anEvent())])
    expect(nacks?.map(({ id, dead }) => [id, dead])).toEqual([[last.id, true]])
    expect(await reconcile(db)).toEqual({ received: 2, dispositions: { ROUTED: 1, DEAD: 1 }, difference: 0 })
    expect(await handle([last])).toHaveLength(1)
    expect(await reconcile(db)).toMatchObject({ received: 2, difference: 0 })
  })

  it('keeps a dead letter of what it gave up on before it died, whatever is left to be read of it', async () => {
    const poison = anEvent({ payload: { text: 'a\u0000b' } })
    const last = { ...delivery(poison), attempt: 10 }
    const given = await handle([last])
    // As if the process had died before it could answer the bus.
    const again = await handle([{ ...last, attempt: 11 }, delivery(anEvent())])
    expect([given, again].map((nacks) => nacks?.map(({ id, dead }) => [id, dead]))).toEqual([
      [[last.id, true]],
      [[last.id, true]],
    ])
    expect(await reconcile(db)).toEqual({ received: 2, dispositions: { ROUTED: 1, DEAD: 1 }, difference: 0 })
  })

  it('gives the whole batch back when the database cannot be reached', async () => {
    const gone = await openTestDatabase()
    await gone.close()
    await expect(handle([delivery(anEvent())], { database: gone })).rejects.toMatchObject({ retryable: true })
  })

  it('confirms an echo by the owner of the actions, and starts no run', async () => {
    const cause = anEvent()
    await send([cause])
    const run = (await why(db, cause.id)).invocations[0]?.id ?? ''
    await anAction('act_echo', run, cause)
    const asked: string[] = []
    const echoes: DispatcherDeps['echoes'] = {
      confirm(_tx, { marker }) {
        asked.push(marker)
        return Promise.resolve({ invocationId: run, causalRoot: cause.id, causalDepth: 0 })
      },
    }
    const echo = anEvent({ type: 'PR_COMMENTED', metadata: { marker: 'act_echo', self: true } })
    const invented = anEvent({ type: 'PR_COMMENTED', metadata: { marker: 'act_unknown', self: true } })
    await handle([delivery(echo), delivery(invented)], { echoes })
    expect(asked).toEqual(['act_echo'])
    const [told, other] = await Promise.all([why(db, echo.id), why(db, invented.id)])
    expect(told.event).toMatchObject({
      disposition: 'SELF_ECHO',
      causal_root: cause.id,
      causal_depth: 1,
      causal_parent: run,
    })
    expect(other.event?.disposition).toBe('UNROUTED')
    expect((await why(db, 'guild:act_echo')).consequences).toMatchObject([{ id: echo.id, disposition: 'SELF_ECHO' }])
  })

  it('counts a bot that answers our action one deeper, a person as a new cause, and stops the chain', async () => {
    const shallow = aSnapshot([anAgent('sentinel', { maxDepth: 1 })], [aRoute('any', '*', ['sentinel'])])
    const cause = anEvent({ metadata: { subject: subject('octo/shop#30') } })
    await send([cause], { snapshot: shallow })
    const run = (await why(db, cause.id)).invocations[0]?.id ?? ''
    await anAction('act_loop_1', run, cause, { depth: 0 })
    const actor = { kind: 'bot', id: 'helper[bot]', display: 'helper[bot]', integrity: 'public' } as const
    const answer = () => anEvent({ type: 'PR_COMMENTED', metadata: { actor, subject: subject('octo/shop#30') } })
    const [first, person] = [answer(), anEvent({ metadata: { subject: subject('octo/shop#30') } })]
    await send([first, person], { snapshot: shallow })
    await anAction('act_loop_2', (await why(db, first.id)).invocations[0]?.id ?? '', first, { depth: 1 })
    const second = answer()
    const late = anEvent({ metadata: { actor, subject: subject('octo/shop#30'), received_at: '2026-11-22T10:30:00Z' } })
    await send([second, late], { snapshot: shallow })
    const places = await Promise.all(
      [first, person, second, late].map(async (event) => {
        const { event: told } = await why(db, event.id)
        return [told?.causal_root === cause.id, told?.causal_depth, told?.disposition]
      }),
    )
    expect(places).toEqual([
      [true, 1, 'ROUTED'],
      [false, 0, 'ROUTED'],
      [true, 2, 'LOOP_STOPPED'],
      [false, 0, 'ROUTED'],
    ])
  })

  it('takes as many statements for a batch, whatever its size', async () => {
    const counts = await Promise.all(
      [1, 64].map(async (size) => {
        let count = 0
        const counting: Database = Object.assign(Object.create(db) as Database, {
          transaction: <T>(work: Parameters<typeof db.transaction<T>>[0]) =>
            db.transaction((tx) =>
              work({
                query: (statement, params) => {
                  count += 1
                  return tx.query(statement, params)
                },
              }),
            ),
        })
        let added = 0
        const counted = {
          add: (...args: Parameters<typeof outbox.add>) => ((added += 1), outbox.add(...args)),
          addAll: (...args: Parameters<typeof outbox.addAll>) => ((added += 1), outbox.addAll(...args)),
        }
        const types = ['PR_OPENED', 'PR_MERGED', 'CODE_PUSHED']
        const batch = Array.from({ length: size }, (_, index) =>
          delivery(anEvent({ type: types[index % 3] ?? '', payload: { ref: 'main' } })),
        )
        await handle(batch, { database: counting, outbox: counted })
        return count + added
      }),
    )
    // Two of its own, and one publish for the audit trail and all agents.
    expect(counts).toEqual([3, 3])
  })
})

describe('listEvents', () => {
  it('pages newest first without gaps, also among receptions of one instant', async () => {
    await send(Array.from({ length: 7 }, () => anEvent()))
    const seen: string[] = []
    let before: string | undefined
    do {
      const page = await listEvents(db, { limit: 3, ...(before && { before }) })
      seen.push(...page.items.map(({ id }) => id))
      before = page.next ?? undefined
    } while (before)
    expect(seen).toHaveLength(7)
    expect(seen).toEqual(seen.toSorted().toReversed())
  })

  it('filters by type, disposition and source', async () => {
    await send([anEvent(), anEvent({ type: 'CODE_PUSHED', payload: { ref: 'x' } }), anEvent({ source: 'jira' })])
    const found = async (query: Parameters<typeof listEvents>[1]) => (await listEvents(db, query)).items.length
    expect(
      await Promise.all([found({ type: 'PR_OPENED' }), found({ disposition: 'FILTERED' }), found({ source: 'jira' })]),
    ).toEqual([2, 1, 1])
  })
})

describe('why', () => {
  it('tells the story from the id of the event, run, reception, trace or delivery', async () => {
    const event = anEvent({ metadata: { delivery_id: '72d3162e-cc78-11e3-81ab-4c9367dc0958' } })
    await send([event])
    const run = (await why(db, event.id)).invocations[0]?.id ?? ''
    for (const id of [event.id, run, event.metadata.receipt_id, event.metadata.delivery_id, event.metadata.trace_id]) {
      expect((await why(db, id)).event_id).toBe(event.id)
    }
    await expect(why(db, 'evt_nothing')).rejects.toMatchObject({ code: 'GUILD_NOT_FOUND' })
  })

  it('says in order what happened, by which rule and commit, and what came nearest', async () => {
    const event = anEvent({ type: 'CODE_PUSHED', payload: { ref: 'dev' } })
    await send([event])
    const story = await why(db, event.id)
    expect(story.nearest).toBe('routing/events.yaml#pushed')
    expect(story.verdict).toBe(
      `CODE_PUSHED on octo/shop#12 was FILTERED by routing/events.yaml#pushed: routing/events.yaml#pushed: the condition does not hold: payload.ref == 'main'`,
    )
    expect(story.lines.map(({ kind, outcome, codex_commit }) => [kind, outcome, codex_commit])).toEqual([
      ['receipt', 'FILTERED', null],
      ['decision', 'FILTERED', snapshot.commit],
    ])
  })
})

function handle(batch: readonly Delivery[], over: Partial<DispatcherDeps> & { snapshot?: CodexSnapshot } = {}) {
  const { snapshot: serving = snapshot, ...deps } = over
  const consumer = dispatcher({
    database: db,
    outbox,
    codex: { current: () => serving },
    clock: systemClock,
    log: silentLog,
    echoes: { confirm: () => Promise.resolve(null) },
    ...deps,
  })
  return consumer.handle(batch, new AbortController().signal)
}

async function send(events: readonly GuildEvent[], over: { snapshot?: CodexSnapshot } = {}) {
  expect(await handle(events.map(delivery), over)).toEqual([])
}

let deliveries = 0

function delivery(body: unknown): Delivery {
  deliveries += 1
  const publishedAt = new Date('2026-11-22T10:00:01Z')
  return {
    id: `m${deliveries}`,
    topic: 'guild.events.inbound',
    key: null,
    priority: 'NORMAL',
    body,
    attempt: 1,
    publishedAt,
  }
}

function subject(id: string) {
  return { kind: 'pull_request', id, url: null }
}

async function anAction(id: string, invocationId: string, { id: eventId, metadata }: GuildEvent, { depth = 0 } = {}) {
  await db.query(
    text(`INSERT INTO guild_core.actions (id, action_key, invocation_id, agent_id, event_id, trace_id, causal_root, causal_depth, priority,
      type, connector, target_system, target, args, args_hash, autonomy, state, marker, expires_at, codex_commit, sent_at)
      SELECT $1, $1, $2, 'sentinel', $3, $4, i.causal_root, $6, 'NORMAL', 'GITHUB_COMMENT', 'github', 'github', $5, '{}', '', 2, 'SUCCEEDED',
        'guild:' || $1, '2027-01-01', 'c', '2026-11-22T10:00:00Z' FROM guild_core.invocations i WHERE i.id = $2`),
    [id, invocationId, eventId, metadata.trace_id, metadata.subject.id, depth],
  )
}
