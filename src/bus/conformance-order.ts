import { expect, it } from 'vitest'
import { priorities } from '../kernel/event.ts'
import type { Handler } from './bus.ts'
import { type BusHarness, gate, ids, ManualClock, Stage } from './conformance-kit.ts'

/** Order per key, lanes, ageing. */
export function orderRules(harness: () => BusHarness): void {
  it('keeps the order of a key among competing consumers and through retries', async () => {
    await using stage = new Stage(harness())
    const done = new Map<string, number[]>()
    const busy = new Set<string>()
    let overlaps = 0
    const handle: Handler = async (batch) => {
      const nacks = []
      for (const { id, key, body, attempt } of batch) {
        const lane = String(key)
        if (busy.has(lane)) overlaps += 1
        busy.add(lane)
        await stage.lag()
        const seq = Number(body)
        if (attempt === 1 && seq % 3 === 0) nacks.push({ id, reason: 'once more', delayMs: seq % 2 })
        else done.set(lane, [...(done.get(lane) ?? []), seq])
      }
      for (const { key } of batch) busy.delete(String(key))
      return nacks
    }
    const keys = ids('key', 4)
    for (let seq = 0; seq < 12; seq++) {
      await stage.publish(...keys.map((key) => ({ id: `${key}-${seq}`, key, body: seq })))
    }
    stage.eat({ maxInFlight: 3 }, handle)
    stage.eat({ maxInFlight: 4, batchMax: 2 }, handle, stage.another())
    await stage.untilEmpty()
    const inOrder = Array.from({ length: 12 }, (_, seq) => seq)
    expect(Object.fromEntries(done)).toEqual(Object.fromEntries(keys.map((key) => [key, inOrder])))
    expect(overlaps).toBe(0)
  })

  it('keeps the order of a key while publishers and consumers race', async () => {
    await using stage = new Stage(harness())
    const done = new Map<string, number[]>()
    const handle: Handler = async (batch) => {
      for (const { key, body } of batch) done.set(String(key), [...(done.get(String(key)) ?? []), Number(body)])
    }
    const eaters = [stage.eat({}, handle), stage.eat({}, handle, stage.another()), stage.eat({ batchMax: 4 }, handle)]
    const keys = ids('key', 3)
    await Promise.all(
      keys.map(async (key) => {
        for (let seq = 0; seq < 25; seq++) await stage.publish({ id: `${key}-${seq}`, key, body: seq })
      }),
    )
    await stage.untilEmpty()
    const inOrder = Array.from({ length: 25 }, (_, seq) => seq)
    expect(Object.fromEntries(done)).toEqual(Object.fromEntries(keys.map((key) => [key, inOrder])))
    expect(eaters.flatMap((eater) => eater.deliveries)).toHaveLength(75)
  })

  it('lets a waiting message hold back its own key only', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const eater = stage.eat({}, async ([first]) =>
      first?.id === 'a1' && first.attempt === 1 ? [{ id: 'a1', reason: 'later', delayMs: 30_000 }] : [],
    )
    await stage.publish({ id: 'a1', key: 'a' })
    await stage.untilLag({ delayed: 1 })
    await stage.publish({ id: 'a2', key: 'a' }, { id: 'b1', key: 'b' }, 'free')
    await eater.seen(3)
    await stage.untilLag({ delayed: 1, ready: 1, inFlight: 0 })
    expect(eater.ids.toSorted()).toEqual(['a1', 'b1', 'free'])
    clock.advance(30_000)
    expect((await eater.seen(5)).slice(3)).toMatchObject([{ id: 'a1', attempt: 2 }, { id: 'a2' }])
  })

  it('goes on with a key after a message of it has died', async () => {
    await using stage = new Stage(harness())
    const eater = stage.eat({}, async ([first]) => (first?.id === 'a1' ? [{ id: 'a1', reason: 'no', dead: true }] : []))
    await stage.publish({ id: 'a1', key: 'a' }, { id: 'a2', key: 'a' })
    expect(await eater.seen(2)).toMatchObject([{ id: 'a1' }, { id: 'a2' }])
  })

  it('goes on with a key after its consumer has died', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const dying = stage.fragile()
    const never = gate()
    await stage.publish({ id: 'a1', key: 'a' }, { id: 'a2', key: 'a' })
    const victim = stage.eat({}, () => never.opened, dying.bus)
    await victim.seen(1)
    dying.setReachable(false)
    const heir = stage.eat()
    await stage.untilLag({ inFlight: 1, ready: 1 })
    clock.advance(15_000)
    expect(await heir.seen(2)).toMatchObject([
      { id: 'a1', attempt: 2 },
      { id: 'a2', attempt: 1 },
    ])
    never.open()
    victim.abort()
    dying.setReachable(true)
  })

  it('tells the keys of different topics apart', async () => {
    await using stage = new Stage(harness())
    const door = gate()
    const eater = stage.eat({ topic: `${stage.topic}.*` }, () => door.opened)
    await stage.bus.publish(`${stage.topic}.a`, [{ id: 'a', key: 'k', body: 1 }])
    await stage.bus.publish(`${stage.topic}.b`, [{ id: 'b', key: 'k', body: 1 }])
    expect(await eater.seen(2)).toHaveLength(2)
    door.open()
  })

  it('finds the next key behind a long backlog of one key', async () => {
    await using stage = new Stage(harness())
    await stage.publish(...ids('a', 600).map((id) => ({ id, key: 'a', priority: 'HIGH' as const })), {
      id: 'b',
      key: 'b',
    })
    const door = gate()
    const eater = stage.eat({ maxInFlight: 2 }, () => door.opened)
    expect(await eater.seen(2)).toMatchObject([{ id: 'a0' }, { id: 'b' }])
    eater.abort()
    door.open()
  })

  it('serves lanes strictly, and within a lane in the order published', async () => {
    await using stage = new Stage(harness())
    const backwards = priorities.toReversed()
    await stage.publish(...backwards.flatMap((priority) => ids(`${priority}-`, 2).map((id) => ({ id, priority }))))
    const eater = stage.eat({ maxInFlight: 1 })
    await eater.seen(10)
    expect(eater.ids).toEqual(priorities.flatMap((priority) => ids(`${priority}-`, 2)))
  })

  it('gives a message one lane for 30 s of waiting', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    await stage.publish({ id: 'low', priority: 'LOW' })
    clock.advance(29_000)
    await stage.publish({ id: 'normal', priority: 'NORMAL' })
    clock.advance(32_000)
    await stage.publish({ id: 'high', priority: 'HIGH' })
    const eater = stage.eat({ maxInFlight: 1 })
    await eater.seen(3)
    // low has waited 61 s for high (two lanes), but only 29 s for normal (none).
    expect(eater.ids).toEqual(['normal', 'low', 'high'])
  })

  it('counts a message sent again as waiting since its notBefore', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const began = clock.now()
    clock.advance(1_000)
    await stage.publish('first', 'second')
    clock.advance(60_000)
    await stage.publish({ id: 'again', notBefore: began }, 'last', { id: 'recent', notBefore: clock.now() })
    const eater = stage.eat({ maxInFlight: 1 })
    await eater.seen(5)
    expect(eater.ids).toEqual(['again', 'first', 'second', 'last', 'recent'])
  })

  it('gives a new group the place of a message that was sent again', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const began = clock.now()
    clock.advance(1_000)
    await stage.publish('first', { id: 'again', notBefore: began })
    const eater = stage.eat({ maxInFlight: 1, group: 'late' })
    await eater.seen(2)
    expect(eater.ids).toEqual(['again', 'first'])
  })

  it('keeps the place of a message that returns', async () => {
    await using stage = new Stage(harness())
    await stage.publish(...ids('m', 3))
    const eater = stage.eat({ maxInFlight: 1 }, async ([first]) =>
      first?.id === 'm0' && first.attempt === 1 ? [{ id: 'm0', reason: 'again', delayMs: 0 }] : [],
    )
    await eater.seen(4)
    expect(eater.ids).toEqual(['m0', 'm0', 'm1', 'm2'])
  })
}
