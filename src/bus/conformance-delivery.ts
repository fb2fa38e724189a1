import { expect, it } from 'vitest'
import { GuildError } from '../kernel/errors.ts'
import { topics } from '../kernel/topics.ts'
import type { BusMessage } from './bus.ts'
import { type BusHarness, ids, ManualClock, Stage } from './conformance-kit.ts'

/** Publishing, acknowledging, returning, dying. */
export function deliveryRules(harness: () => BusHarness): void {
  it('keeps what was published for a bus that opens later', async () => {
    await using stage = new Stage(harness())
    await stage.publish('m')
    await stage.bus.close()
    const eater = stage.eat({}, undefined, stage.another())
    expect(await eater.seen(1)).toMatchObject([{ id: 'm', attempt: 1 }])
  })

  it('hands over the message as it was published', async () => {
    await using stage = new Stage(harness())
    const before = Date.now()
    await stage.publish({ id: 'm', key: 'k', priority: 'HIGH', body: { a: [1, null, 'x'] } })
    const [delivery] = await stage.eat().seen(1)
    expect(delivery).toMatchObject({
      id: 'm',
      topic: stage.topic,
      key: 'k',
      priority: 'HIGH',
      body: { a: [1, null, 'x'] },
    })
    expect(Math.abs((delivery?.publishedAt.getTime() ?? 0) - before)).toBeLessThan(60_000)
  })

  it('acknowledges when the handler resolves', async () => {
    await using stage = new Stage(harness())
    const eater = stage.eat()
    await stage.publish(...ids('m', 5))
    await eater.seen(5)
    await stage.untilEmpty()
    await eater.stop()
    expect(eater.ids.toSorted()).toEqual(ids('m', 5))
  })

  it('wakes a consumer that is already waiting', async () => {
    await using stage = new Stage(harness())
    const eater = stage.eat()
    await stage.publish('first')
    await eater.seen(1)
    await stage.untilEmpty()
    await stage.another().publish(stage.topic, [{ id: 'second', body: null }])
    expect((await eater.seen(2)).map((delivery) => delivery.id)).toEqual(['first', 'second'])
  })

  it('delivers again when the handler rejects, and counts', async () => {
    await using stage = new Stage(harness())
    const again = new GuildError('GUILD_TARGET_UNAVAILABLE', {}, { retryAfterMs: 0 })
    const eater = stage.eat({}, async ([first]) => {
      if ((first?.attempt ?? 0) < 3) throw again
    })
    await stage.publish('m')
    expect((await eater.seen(3)).map(({ id, attempt }) => [id, attempt])).toEqual([
      ['m', 1],
      ['m', 2],
      ['m', 3],
    ])
    await stage.untilEmpty()
  })

  it('returns a rejected message after the delay that the error names', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const eater = stage.eat({}, async ([first]) => {
      if (first?.attempt === 1) throw new GuildError('GUILD_TARGET_RATE_LIMITED', {}, { retryAfterMs: 90_000 })
    })
    await stage.publish('m')
    await stage.untilLag({ delayed: 1 })
    clock.advance(89_000)
    expect(await stage.lag()).toMatchObject({ delayed: 1, ready: 0 })
    clock.advance(1_000)
    expect(await eater.seen(2)).toHaveLength(2)
  })

  it('backs off from one second on, by attempt', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const eater = stage.eat({}, async () => {
      throw new Error('no')
    })
    await stage.publish('m')
    await stage.untilLag({ delayed: 1 })
    clock.advance(499)
    expect(await stage.lag()).toMatchObject({ delayed: 1 })
    clock.advance(501)
    await eater.seen(2)
    await stage.untilLag({ delayed: 1 })
    clock.advance(999)
    expect(await stage.lag()).toMatchObject({ delayed: 1 })
    clock.advance(1_001)
    expect(await eater.seen(3)).toHaveLength(3)
  })

  it('acknowledges those of a batch that were not named, and returns those that were', async () => {
    await using stage = new Stage(harness())
    await stage.publish('a', 'b', 'c')
    const eater = stage.eat({ batchMax: 3 }, async (batch) =>
      batch.some(({ id, attempt }) => id === 'b' && attempt === 1) ? [{ id: 'b', reason: 'not yet', delayMs: 0 }] : [],
    )
    await eater.seen(4)
    await stage.untilEmpty()
    expect(eater.ids).toEqual(['a', 'b', 'c', 'b'])
  })

  it('waits as long as a nack asks', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const eater = stage.eat({}, async ([first]) =>
      first?.attempt === 1 ? [{ id: 'm', reason: 'later', delayMs: 60_000 }] : [],
    )
    await stage.publish('m')
    await stage.untilLag({ delayed: 1 })
    clock.advance(59_999)
    expect(await stage.lag()).toMatchObject({ delayed: 1 })
    clock.advance(1)
    expect(await eater.seen(2)).toMatchObject([{ attempt: 1 }, { attempt: 2 }])
  })

  it('sends a message to the dead letters after attemptsMax, with its history', async () => {
    await using stage = new Stage(harness())
    const eater = stage.eat({ attemptsMax: 3 }, async ([first]) => [
      { id: 'm', reason: `no ${first?.attempt}`, delayMs: 0 },
    ])
    await stage.publish({ id: 'm', key: 'k', body: { cannot: 'be parsed' } })
    await expect.poll(() => stage.deadLetters(), { timeout: 20_000 }).toHaveLength(1)
    expect(await stage.deadLetters()).toMatchObject([
      {
        topic: stage.topic,
        group: 'g',
        id: 'm',
        reason: 'no 3',
        attempts: 3,
        body: { cannot: 'be parsed' },
        history: [
          { attempt: 1, reason: 'no 1' },
          { attempt: 2, reason: 'no 2' },
          { attempt: 3, reason: 'no 3' },
        ],
      },
    ])
    await stage.untilEmpty()
    expect(eater.deliveries).toHaveLength(3)
  })

  it('sends a message to the dead letters at once when a nack says so', async () => {
    await using stage = new Stage(harness())
    const eater = stage.eat({}, async () => [{ id: 'm', reason: 'hopeless\0 \ud800', dead: true }])
    await stage.publish('m')
    await expect.poll(() => stage.deadLetters(), { timeout: 20_000 }).toMatchObject([{ id: 'm', attempts: 1 }])
    await stage.untilEmpty()
    expect(eater.deliveries).toHaveLength(1)
  })

  it('delivers dead letters like any message, and does not bury them twice', async () => {
    await using stage = new Stage(harness())
    const group = `undertaker-${stage.topic}`
    const dead = stage.eat({ topic: topics.dead, group, from: 'latest' }, async (batch) =>
      batch.map(({ id }) => ({ id, reason: 'again', dead: true })),
    )
    await stage.bus.ensureGroup({ topic: topics.dead, group, from: 'latest' })
    stage.eat({}, async () => [{ id: 'm', reason: 'hopeless', dead: true }])
    await stage.publish('m')
    expect(await dead.seen(1)).toMatchObject([{ id: 'm', body: { topic: stage.topic } }])
    await stage.untilEmpty(group, topics.dead)
    expect(await stage.deadLetters()).toHaveLength(1)
  })

  it('gives every group of a topic every message', async () => {
    await using stage = new Stage(harness())
    const [one, two] = [stage.eat({ group: 'one' }), stage.eat({ group: 'two' })]
    await stage.publish(...ids('m', 3))
    await Promise.all([one.seen(3), two.seen(3)])
    expect([one.ids.toSorted(), two.ids.toSorted()]).toEqual([ids('m', 3), ids('m', 3)])
  })

  it('gives a message to one of the consumers of a group', async () => {
    await using stage = new Stage(harness())
    const eaters = [stage.eat({ maxInFlight: 2 }), stage.eat({ maxInFlight: 2 }, undefined, stage.another())]
    await stage.publish(...ids('m', 60))
    await stage.untilEmpty()
    expect(eaters.flatMap((eater) => eater.ids).toSorted()).toEqual(ids('m', 60).toSorted())
  })

  it('misses nothing while nobody consumes', async () => {
    await using stage = new Stage(harness())
    await stage.bus.ensureGroup({ topic: stage.topic, group: 'g', from: 'latest' })
    await stage.publish('a')
    const first = stage.eat()
    await first.seen(1)
    await first.stop()
    await stage.publish('b')
    expect(await stage.eat().seen(1)).toMatchObject([{ id: 'b' }])
  })

  it('begins a new group at the oldest message, or at the next one', async () => {
    await using stage = new Stage(harness())
    await stage.publish('old')
    await stage.bus.ensureGroup({ topic: stage.topic, group: 'late', from: 'latest' })
    await stage.publish('new')
    const late = stage.eat({ group: 'late' })
    const early = stage.eat({ group: 'early' })
    await Promise.all([late.seen(1), early.seen(2)])
    expect([late.ids, early.ids]).toEqual([['new'], ['old', 'new']])
  })

  it('misses nothing that is published while a group is created', async () => {
    await using stage = new Stage(harness())
    const publishing = ids('m', 40).map((id) => stage.publish(id))
    const creating = stage.another().ensureGroup({ topic: stage.topic, group: 'g' })
    await Promise.all([...publishing, creating])
    expect(await stage.lag()).toMatchObject({ ready: 40 })
  })

  it('matches a prefix, also for topics born later', async () => {
    await using stage = new Stage(harness())
    const eater = stage.eat({ topic: `${stage.topic}.agent.*` })
    await stage.bus.ensureGroup({ topic: `${stage.topic}.agent.*`, group: 'g' })
    await stage.bus.publish(`${stage.topic}.agent.ranger`, [{ id: 'a', body: 1 }])
    await eater.seen(1)
    await stage.bus.publish(`${stage.topic}.agents`, [{ id: 'other', body: 1 }])
    await stage.bus.publish(`${stage.topic}.agent.born_later`, [{ id: 'b', body: 1 }])
    const seen = await eater.seen(2)
    expect(seen.map(({ id, topic }) => [id, topic])).toEqual([
      ['a', `${stage.topic}.agent.ranger`],
      ['b', `${stage.topic}.agent.born_later`],
    ])
  })

  it('holds a message back until notBefore', async () => {
    const clock = new ManualClock()
    await using stage = new Stage(harness(), clock)
    const eater = stage.eat()
    await stage.publish({ id: 'later', notBefore: new Date(clock.now().getTime() + 5_000) }, 'now')
    expect(await eater.seen(1)).toMatchObject([{ id: 'now' }])
    await stage.untilLag({ delayed: 1, ready: 0, inFlight: 0 })
    clock.advance(4_999)
    expect(await stage.lag()).toMatchObject({ delayed: 1 })
    clock.advance(1)
    expect(await eater.seen(2)).toMatchObject([{ id: 'now' }, { id: 'later' }])
  })

  it('carries large bodies and every character', async () => {
    await using stage = new Stage(harness())
    const body = { text: 'ünïcødé 🦔 \0 \ud800 \u2028 "\\', large: 'ü'.repeat(4 * 1024 * 1024) }
    await stage.publish({ id: 'möbius 🦔', key: 'schlüssel "\\,{}', body })
    const [delivery] = await stage.eat().seen(1)
    expect(delivery?.id).toBe('möbius 🦔')
    expect(delivery?.key).toBe('schlüssel "\\,{}')
    expect(delivery?.body).toStrictEqual(body)
  })

  it.each<[string, Partial<BusMessage>]>([
    ['a body that is not JSON', { body: undefined }],
    ['a body with a bigint', { body: { n: 1n } }],
    ['a body that is too large', { body: 'x'.repeat(26 * 1024 * 1024) }],
    ['a key with U+0000', { key: '\0' }],
    ['an empty id', { id: '' }],
  ])('publishes none of the messages when one has %s', async (_, wrong) => {
    await using stage = new Stage(harness())
    const messages = [
      { id: 'fine', body: 1 },
      { id: 'wrong', body: 1, ...wrong },
    ]
    await expect(stage.bus.publish(stage.topic, messages)).rejects.toMatchObject({ code: 'GUILD_MESSAGE_INVALID' })
    expect(await stage.bus.count(stage.topic)).toBe(0)
  })
}
