import { expect, it } from 'vitest'
import { type BusHarness, gate, ids, ManualClock, Stage } from './conformance-kit.ts'

/** The log: peek, count, replay, trim, lag. */
export function logRules(harness: () => BusHarness): void {
  it('peeks newest first, page by page, and touches no group', async () => {
    await using stage = new Stage(harness())
    await stage.bus.ensureGroup({ topic: stage.topic, group: 'g' })
    await stage.publish(...ids('m', 5).map((id) => ({ id, key: 'k', priority: 'LOW' as const, body: { id } })))
    const first = await stage.bus.peek(stage.topic, { limit: 2 })
    const second = await stage.bus.peek(stage.topic, { limit: 10, before: first[1]?.position ?? '' })
    expect([first, second].map((page) => page.map((message) => message.id))).toEqual([
      ['m4', 'm3'],
      ['m2', 'm1', 'm0'],
    ])
    expect(first[0]).toMatchObject({ topic: stage.topic, key: 'k', priority: 'LOW', body: { id: 'm4' } })
    expect(await stage.lag()).toMatchObject({ ready: 5, inFlight: 0 })
  })

  it('keeps acknowledged messages in the log and counts them', async () => {
    await using stage = new Stage(harness())
    await stage.publish('a', 'b')
    await stage.eat().seen(2)
    await stage.untilEmpty()
    expect(await stage.bus.count(stage.topic)).toBe(2)
    expect(await stage.bus.count(`${stage.topic.slice(0, -1)}*`)).toBeGreaterThanOrEqual(2)
  })

  it('replays a time range to one group', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const [one, two] = [stage.eat({ group: 'one' }), stage.eat({ group: 'two' })]
    const instants: Date[] = []
    for (const id of ids('m', 4)) {
      clock.advance(1_000)
      instants.push(clock.now())
      await stage.publish(id)
    }
    await Promise.all([one.seen(4), two.seen(4)])
    await Promise.all([stage.untilEmpty('one'), stage.untilEmpty('two')])
    const [, from = clock.now(), to = clock.now()] = instants
    expect(await stage.bus.replay({ topic: stage.topic, group: 'one', from, to })).toBe(2)
    const again = (await one.seen(6)).slice(4)
    expect(again).toMatchObject([
      { id: 'm1', attempt: 1 },
      { id: 'm2', attempt: 1 },
    ])
    await stage.untilEmpty('one')
    expect(two.deliveries).toHaveLength(4)
  })

  it('replays one topic of a prefix, and does not double what is still open', async () => {
    await using stage = new Stage(harness())
    const subscription = { topic: `${stage.topic}.*`, group: 'g', from: 'latest' as const }
    await stage.bus.publish(`${stage.topic}.a`, [{ id: 'a1', body: 1 }])
    await stage.bus.publish(`${stage.topic}.b`, [{ id: 'b1', body: 1 }])
    await stage.bus.ensureGroup(subscription)
    await stage.bus.publish(`${stage.topic}.a`, [{ id: 'a2', body: 1 }])
    const range = { group: 'g', from: new Date(0), to: new Date(Date.now() + 3_600_000) }
    expect(await stage.bus.replay({ topic: `${stage.topic}.a`, ...range })).toBe(1)
    expect(await stage.lag('g', subscription.topic)).toMatchObject({ ready: 2 })
  })

  it('refuses to replay to a group it does not know', async () => {
    await using stage = new Stage(harness())
    const range = { topic: stage.topic, group: 'nobody', from: new Date(0), to: new Date() }
    await expect(stage.bus.replay(range)).rejects.toMatchObject({ code: 'GUILD_NOT_FOUND' })
  })

  it('keeps the order of a key that is replayed while a later message of it is in flight', async () => {
    await using stage = new Stage(harness())
    const door = gate()
    await stage.publish({ id: 'a1', key: 'a' })
    const eater = stage.eat({}, async ([first]) => {
      if (first?.id === 'a2') await door.opened
    })
    await eater.seen(1)
    await stage.untilEmpty()
    await stage.publish({ id: 'a2', key: 'a' }, { id: 'a3', key: 'a' })
    await eater.seen(2)
    const range = { from: new Date(0), to: new Date(Date.now() + 3_600_000) }
    await stage.bus.replay({ topic: stage.topic, group: 'g', ...range })
    await stage.untilLag({ inFlight: 1, ready: 2 })
    // When this one arrives whatever else could be claimed has been.
    await stage.publish({ id: 'free', priority: 'BACKGROUND' })
    await eater.seen(3)
    expect(eater.ids).toEqual(['a1', 'a2', 'free'])
    door.open()
    await eater.seen(5)
    expect(eater.ids).toEqual(['a1', 'a2', 'free', 'a1', 'a3'])
  })

  it('neither doubles nor trims what is in the hands of a consumer', async () => {
    await using stage = new Stage(harness())
    const door = gate()
    await stage.publish('done', ...ids('m', 3))
    const eater = stage.eat({}, async ([one]) => {
      if (one?.id !== 'done') await door.opened
    })
    await eater.seen(4)
    await stage.untilLag({ ready: 0, inFlight: 3 })
    const all = { from: new Date(0), to: new Date(Date.now() + 3_600_000) }
    expect(await stage.bus.replay({ topic: stage.topic, group: 'g', ...all })).toBe(1)
    await eater.seen(5)
    await stage.untilLag({ ready: 0, inFlight: 3 })
    expect(await stage.bus.trim(stage.topic, { olderThan: all.to })).toBe(1)
    door.open()
    await stage.untilEmpty()
    expect(eater.ids).toEqual(['done', 'm0', 'm1', 'm2', 'done'])
  })

  it('trims by age, and never what a group has not acknowledged', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    await stage.bus.ensureGroup({ topic: stage.topic, group: 'slow' })
    await stage.publish('old', 'open')
    const slow = stage.eat({ group: 'slow' }, async (batch) =>
      batch.filter(({ id }) => id === 'open').map(({ id }) => ({ id, reason: 'not yet', delayMs: 3_600_000 })),
    )
    await slow.seen(2)
    await stage.untilLag({ delayed: 1, inFlight: 0 }, 'slow')
    clock.advance(60_000)
    await stage.publish('young')
    await slow.seen(3)
    await stage.untilLag({ delayed: 1, ready: 0, inFlight: 0 }, 'slow')
    expect(await stage.bus.trim(stage.topic, { olderThan: clock.now() })).toBe(1)
    const left = await stage.bus.peek(stage.topic, { limit: 10 })
    expect(left.map((message) => message.id)).toEqual(['young', 'open'])
  })

  it('tells how far behind each group is', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    await stage.bus.ensureGroup({ topic: stage.topic, group: 'g' })
    await stage.publish('a', 'b', { id: 'later', notBefore: new Date(clock.now().getTime() + 60_000) })
    clock.advance(7_000)
    expect(await stage.lag()).toMatchObject({ ready: 2, inFlight: 0, delayed: 1, oldestReadyMs: 7_000 })
    const door = gate()
    const eater = stage.eat({ maxInFlight: 1 }, () => door.opened)
    await eater.seen(1)
    expect(await stage.lag()).toMatchObject({ ready: 1, inFlight: 1, delayed: 1 })
    door.open()
    await stage.untilLag({ ready: 0, inFlight: 0, delayed: 1, oldestReadyMs: 0 })
  })
}
