import { silentLog } from '../../kernel/log.ts'
import { busConformance } from '../conformance.ts'
import { MemoryBus } from './memory-bus.ts'
import { MemoryLog } from './memory-log.ts'

busConformance('MemoryBus', async () => {
  const log = new MemoryLog()
  return {
    open: (clock) => new MemoryBus({ log, clock, logger: silentLog }),
    openFragile(clock) {
      const bus = new MemoryBus({ log, clock, logger: silentLog })
      return { bus, setReachable: (reachable) => bus.setReachable(reachable) }
    },
    close: () => Promise.resolve(),
  }
})
