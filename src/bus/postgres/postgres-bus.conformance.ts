import type { Database } from '../../database/database.ts'
import { type Clock, systemClock } from '../../kernel/clock.ts'
import { GuildError } from '../../kernel/errors.ts'
import { silentLog } from '../../kernel/log.ts'
import type { BusHarness } from '../conformance-kit.ts'
import { PostgresBus } from './postgres-bus.ts'

/** PostgresBus on any adapter of the Database port. */
export function postgresHarness(database: Database): BusHarness {
  const open = (clock: Clock, on: Database) =>
    new PostgresBus({ database: on, clock, log: silentLog, time: clock === systemClock ? 'database' : 'clock' })
  return {
    open: (clock) => open(clock, database),
    openFragile(clock) {
      const { fragile, setReachable } = breakable(database)
      return { bus: open(clock, fragile), setReachable }
    },
    close: () => database.close(),
  }
}

/** The same database over a connection that can be cut. */
function breakable(database: Database) {
  let reachable = true
  const reach = () => {
    if (!reachable) throw new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'the test cut the connection' })
  }
  const fragile: Database = {
    kind: database.kind,
    async query(statement, params) {
      reach()
      return database.query(statement, params)
    },
    async transaction(work) {
      reach()
      return database.transaction(work)
    },
    listen: (channel, onNotify) => database.listen(channel, onNotify),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  return {
    fragile,
    setReachable: (next: boolean) => {
      reachable = next
    },
  }
}
