import { expect, it } from 'vitest'
import { type BusHarness, gate, ids, ManualClock, Stage } from './conformance-kit.ts'

/** Claims: caps, leases, dying consumers, leaving ones, a store that cannot be reached. */
export function claimRules(harness: () => BusHarness): void {
  it('never holds more than maxInFlight', async () => {
    await using stage = new Stage(harness())
    let [held, most] = [0, 0]
    await stage.publish(...ids('m', 40))
    stage.eat({ maxInFlight: 3 }, async () => {
      held += 1
      most = Math.max(most, held, (await stage.lag()).inFlight)
      held -= 1
    })
    await stage.untilEmpty()
    expect(most).toBe(3)
  })

  it('hands out batches of at most batchMax', async () => {
    await using stage = new Stage(harness())
    await stage.publish(...ids('m', 25))
    const eater = stage.eat({ maxInFlight: 20, batchMax: 10 })
    await stage.untilEmpty()
    expect(Math.max(...eater.batches.map((batch) => batch.length))).toBe(10)
    expect(eater.deliveries).toHaveLength(25)
  })

  it('keeps the claim of a handler that is slower than its lease', async () => {
    await using stage = new Stage(harness())
    const bell = `${stage.topic}.bell`
    const rung = stage.eat({ topic: bell })
    await stage.publish('slow')
    const slow = stage.eat({ leaseMs: 900 }, async () => {
      await rung.seen(1)
    })
    await slow.seen(1)
    const rival = stage.eat({ leaseMs: 900 }, undefined, stage.another())
    await stage.bus.publish(bell, [{ id: 'ring', body: 1, notBefore: new Date(Date.now() + 2_500) }])
    await rung.seen(1)
    await stage.untilEmpty()
    expect([slow.deliveries.length, rival.deliveries.length]).toEqual([1, 0])
  })

  it('delivers again, within the lease, what a dead consumer had claimed', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const dying = stage.fragile()
    const never = gate()
    const victim = stage.eat({ leaseMs: 10_000 }, () => never.opened, dying.bus)
    await stage.publish('m')
    await victim.seen(1)
    dying.setReachable(false)
    const heir = stage.eat({ leaseMs: 10_000 })
    await stage.untilLag({ inFlight: 1 })
    clock.advance(9_999)
    expect(await stage.lag()).toMatchObject({ inFlight: 1 })
    clock.advance(1)
    expect(await heir.seen(1)).toMatchObject([{ id: 'm', attempt: 2 }])
    never.open()
    victim.abort()
    dying.setReachable(true)
  })

  it('counts deliveries that nobody answered, and buries the message that kills its consumers', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const dying = stage.fragile()
    const never = gate()
    const victim = stage.eat({ attemptsMax: 1 }, () => never.opened, dying.bus)
    await stage.publish('poison')
    await victim.seen(1)
    dying.setReachable(false)
    const heir = stage.eat({ attemptsMax: 1 })
    clock.advance(15_000)
    await expect.poll(() => stage.deadLetters(), { timeout: 20_000 }).toHaveLength(1)
    expect(await stage.deadLetters()).toMatchObject([{ id: 'poison', history: [{ attempt: 1 }, { attempt: 2 }] }])
    expect(heir.deliveries).toEqual([])
    never.open()
    victim.abort()
    dying.setReachable(true)
  })

  it('gives another of what a dead consumer took at once only what it had not settled', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const dying = stage.fragile()
    const never = gate()
    await stage.publish('done', 'later', 'dead', 'stuck')
    const victim = stage.eat(
      {},
      async ([one]) => {
        if (one?.id === 'stuck') await never.opened
        if (one?.id === 'later') return [{ id: 'later', reason: 'not yet', delayMs: 60_000 }]
        return one?.id === 'dead' ? [{ id: 'dead', reason: 'no use', dead: true }] : []
      },
      dying.bus,
    )
    await victim.seen(4)
    await stage.untilLag({ ready: 0, inFlight: 1, delayed: 1 })
    dying.setReachable(false)
    const heir = stage.eat()
    clock.advance(15_000)
    expect(await heir.seen(1)).toMatchObject([{ id: 'stuck', attempt: 2 }])
    await stage.untilLag({ ready: 0, inFlight: 0, delayed: 1 })
    clock.advance(60_000)
    expect(await heir.seen(2)).toMatchObject([{ id: 'stuck' }, { id: 'later', attempt: 2 }])
    expect(await stage.deadLetters()).toMatchObject([{ id: 'dead', attempts: 1 }])
    never.open()
    victim.abort()
    dying.setReachable(true)
  })

  it('lets no late consumer settle what another has claimed since, and tells its handler', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const late = stage.fragile()
    const [first, second] = [gate(), gate()]
    const told = Promise.withResolvers<unknown>()
    const victim = stage.eat(
      {},
      async (_, signal) => {
        signal.addEventListener('abort', () => told.resolve(signal.reason))
        await first.opened
      },
      late.bus,
    )
    await stage.publish('m')
    await victim.seen(1)
    late.setReachable(false)
    const heir = stage.eat({}, async ([one]) => {
      await second.opened
      return one?.attempt === 2 ? [{ id: 'm', reason: 'once more', delayMs: 0 }] : []
    })
    clock.advance(15_000)
    await heir.seen(1)
    late.setReachable(true)
    clock.advance(5_000)
    expect(await told.promise).toMatchObject({ code: 'GUILD_LEASE_LOST' })
    first.open()
    await victim.stop()
    expect(await stage.lag()).toMatchObject({ inFlight: 1 })
    second.open()
    expect(await heir.seen(2)).toMatchObject([{ attempt: 2 }, { attempt: 3 }])
    await stage.untilEmpty()
  })

  it('resolves after an abort only when every handler has settled', async () => {
    await using stage = new Stage(harness())
    const door = gate()
    const eater = stage.eat({ maxInFlight: 1 }, () => door.opened)
    await stage.publish('m')
    await eater.seen(1)
    eater.abort()
    expect(await stage.lag()).toMatchObject({ inFlight: 1 })
    expect(eater.hasEnded).toBe(false)
    door.open()
    await eater.stop()
    expect(await stage.lag()).toMatchObject({ ready: 0, inFlight: 0 })
  })

  it('returns at once what it had claimed and not begun, counting no attempt', async () => {
    await using stage = new Stage(harness())
    await stage.publish(...ids('m', 10))
    const leaving = stage.eat({ maxInFlight: 10 }, async () => leaving.abort())
    await leaving.ended
    expect(leaving.deliveries).toHaveLength(1)
    const next = stage.eat({ maxInFlight: 10 })
    const seen = await next.seen(9)
    expect(seen.map((delivery) => delivery.attempt)).toEqual(Array.from({ length: 9 }, () => 1))
  })

  it('wakes another consumer for what a leaving one returns', async () => {
    await using stage = new Stage(harness())
    const door = gate()
    const leaving = stage.eat({}, async ([first], signal) => {
      await door.opened
      if (first?.id === 'm1') leaving.abort()
      signal.throwIfAborted()
    })
    await stage.publish('m1')
    await leaving.seen(1)
    const next = stage.eat({}, undefined, stage.another())
    door.open()
    expect(await next.seen(1)).toMatchObject([{ id: 'm1', attempt: 1 }])
  })

  it('claims nothing after the abort', async () => {
    await using stage = new Stage(harness())
    const eater = stage.eat()
    await eater.stop()
    await stage.publish('m')
    expect(await stage.lag()).toMatchObject({ ready: 1, inFlight: 0 })
    expect(eater.deliveries).toEqual([])
  })

  it('ends its consumers when it is closed', async () => {
    await using stage = new Stage(harness())
    const eater = stage.eat()
    await stage.publish('m')
    await eater.seen(1)
    await stage.bus.close()
    await stage.bus.close()
    await eater.stop()
    expect(eater.hasEnded).toBe(true)
  })

  it('refuses to publish, retryably, while the store cannot be reached', async () => {
    await using stage = new Stage(harness())
    const { bus, setReachable } = stage.fragile()
    setReachable(false)
    await expect(bus.publish(stage.topic, [{ id: 'm', body: 1 }])).rejects.toMatchObject({ retryable: true })
    setReachable(true)
    await bus.publish(stage.topic, [{ id: 'm', body: 1 }])
    expect(await stage.bus.count(stage.topic)).toBe(1)
  })

  it('goes on consuming when the store can be reached again', async () => {
    await using stage = new Stage(harness())
    const { bus, setReachable } = stage.fragile()
    const eater = stage.eat({}, undefined, bus)
    await stage.publish('before')
    await eater.seen(1)
    await stage.untilEmpty()
    setReachable(false)
    await stage.publish('during')
    setReachable(true)
    expect(await eater.seen(2)).toMatchObject([{ id: 'before' }, { id: 'during' }])
  })

  it('acknowledges after an outage what was handled during it', async () => {
    await using stage = new Stage(harness())
    const { bus, setReachable } = stage.fragile()
    const door = gate()
    const eater = stage.eat({}, () => door.opened, bus)
    await stage.publish('m')
    await eater.seen(1)
    setReachable(false)
    door.open()
    expect(await stage.lag()).toMatchObject({ inFlight: 1 })
    setReachable(true)
    await stage.untilEmpty()
    expect(eater.deliveries).toHaveLength(1)
  })
}
