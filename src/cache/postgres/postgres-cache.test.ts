import { openTestDatabase } from '../../../test/database.ts'
import type { PostgresServer } from '../../../test/postgres-server.ts'
import { testPostgres } from '../../../test/postgres.ts'
import type { Database, Statement } from '../../database/database.ts'
import { PostgresDatabase } from '../../database/postgres/postgres-database.ts'
import { systemClock } from '../../kernel/clock.ts'
import { GuildError } from '../../kernel/errors.ts'
import { silentLog } from '../../kernel/log.ts'
import { cacheConformance } from '../conformance.ts'
import type { CacheHarness } from '../conformance-kit.ts'
import { PostgresCache } from './postgres-cache.ts'

const truncate: Statement = {
  name: 'test.flush',
  text: 'TRUNCATE guild_cache.limits, guild_cache.entries, guild_cache.counters',
}

function postgresHarness(database: Database, server: PostgresServer | null): CacheHarness {
  return {
    open: (time) =>
      new PostgresCache({
        database,
        log: silentLog,
        clock: time === 'store' ? systemClock : time,
        time: time === 'store' ? 'database' : 'clock',
      }),
    openFragile() {
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
        transaction: (work) => database.transaction(work),
        listen: (channel, onNotify) => database.listen(channel, onNotify),
        close: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }
      const cache = new PostgresCache({ database: fragile, clock: systemClock, log: silentLog })
      return { cache, setReachable: (next) => (reachable = next) }
    },
    async flush() {
      await database.query(truncate)
    },
    kill: server && (() => server.crash()),
    start: server && (() => server.resume()),
    close: () => database.close(),
  }
}

cacheConformance('PostgresCache embedded', async () => postgresHarness(await openTestDatabase(), null), false)

const server = await testPostgres()
if (server !== null) {
  const open = async () => postgresHarness(await PostgresDatabase.open({ url: await server.newDatabase() }), server)
  cacheConformance('PostgresCache on a PostgreSQL server', open, true)
}
