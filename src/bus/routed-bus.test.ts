import { expect, it } from 'vitest'
import { systemClock, type Clock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { busConformance } from './conformance.ts'
import { MemoryBus } from './memory/memory-bus.ts'
import { MemoryLog } from './memory/memory-log.ts'
import { RoutedBus } from './routed-bus.ts'

function pair(clock: Clock, logs = { durable: new MemoryLog(), fast: new MemoryLog() }) {
  const open = (log: MemoryLog) => new MemoryBus({ log, clock, logger: silentLog })
  const [durable, fast] = [open(logs.durable), open(logs.fast)]
  const bus = new RoutedBus({ durable, fast, fastTopics: ['test.*', 'one'], log: silentLog })
  return { bus, durable, fast }
}

busConformance('RoutedBus over two', async () => {
  const logs = { durable: new MemoryLog(), fast: new MemoryLog() }
  const stop = new AbortController()
  const carrying = pair(systemClock, logs).bus.deadLetters().run(stop.signal)
  return {
    open: (clock) => pair(clock, logs).bus,
    openFragile(clock) {
      const { bus, fast } = pair(clock, logs)
      return { bus, setReachable: (reachable) => fast.setReachable(reachable) }
    },
    async close() {
      stop.abort()
      await carrying
    },
  }
})

it('sends each topic to its bus, and sums over both', async () => {
  const { bus, durable, fast } = pair(systemClock)
  for (const topic of ['test.a', 'one', 'one.more', 'tes']) await bus.publish(topic, [{ id: topic, body: 1 }])
  expect([await fast.count('*'), await durable.count('*'), await bus.count('*')]).toEqual([2, 2, 4])
  expect(await durable.count('one.more')).toBe(1)
  expect(await bus.trim('*', { olderThan: new Date(Date.now() + 1_000) })).toBe(4)
})

it('refuses a subscription that would need both', async () => {
  const { bus } = pair(systemClock)
  await expect(bus.ensureGroup({ topic: 't*', group: 'g' })).rejects.toMatchObject({ code: 'GUILD_INTERNAL' })
  await bus.ensureGroup({ topic: 'test.deeper.*', group: 'g' })
})

it('tells the lag of the durable bus while the fast one cannot be reached', async () => {
  const { bus, fast } = pair(systemClock)
  await bus.ensureGroup({ topic: 'durable', group: 'd' })
  await bus.ensureGroup({ topic: 'one', group: 'f' })
  expect(await bus.lag()).toHaveLength(2)
  fast.setReachable(false)
  expect(await bus.lag()).toMatchObject([{ group: 'd' }])
})
