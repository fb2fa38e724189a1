import { openTestDatabase } from '../../../test/database.ts'
import { systemClock } from '../../kernel/clock.ts'
import { silentLog } from '../../kernel/log.ts'
import { outboxConformance } from '../conformance-outbox.ts'
import { PostgresBus } from './postgres-bus.ts'
import { PostgresOutbox } from './postgres-outbox.ts'

outboxConformance('PostgresOutbox', async () => {
  const database = await openTestDatabase()
  const bus = new PostgresBus({ database, clock: systemClock, log: silentLog })
  return {
    database,
    bus,
    outbox: new PostgresOutbox(bus),
    async close() {
      await bus.close()
      await database.close()
    },
  }
})
