import { expect, it } from 'vitest'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { driveConsumer } from './drive.ts'
import { MemoryBus } from './memory/memory-bus.ts'
import { MemoryLog } from './memory/memory-log.ts'

it('runs a consumer as a service until its signal aborts', async () => {
  await using bus = new MemoryBus({ log: new MemoryLog(), clock: systemClock, logger: silentLog })
  const eaten = Promise.withResolvers<string>()
  const stop = new AbortController()
  const subscription = { topic: 't', group: 'g', maxInFlight: 1 }
  const service = driveConsumer(
    bus,
    { subscription, handle: async ([first]) => eaten.resolve(first?.id ?? '') },
    silentLog,
  )
  const running = service.run(stop.signal)
  await bus.publish('t', [{ id: 'm', body: 1 }])
  expect(await eaten.promise).toBe('m')
  stop.abort()
  await running
  expect(service.name).toBe('consumer g')
})
