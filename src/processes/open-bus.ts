import type { Bus } from '../bus/bus.ts'
import type { Outbox } from '../bus/outbox.ts'
import { PostgresBus } from '../bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../bus/postgres/postgres-outbox.ts'
import type { Settings } from '../config/settings.ts'
import type { Database } from '../database/database.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'

export interface OpenBus {
  readonly bus: Bus
  readonly outbox: Outbox
}

/** The bus that EVENT_BUS_URL names. Close it before the database. @throws GUILD_CONFIG_INVALID */
export function openBus(settings: Pick<Settings, 'eventBusUrl'>, database: Database, clock: Clock, log: Log): OpenBus {
  const url = settings.eventBusUrl.reveal()
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(url)?.[0]?.toLowerCase()
  if (scheme !== 'postgres') {
    // Never the URL itself: it may carry a password.
    const why = scheme === undefined ? 'it has no scheme' : `there is no bus for ${scheme}: in this version`
    throw new GuildError('GUILD_CONFIG_INVALID', { name: 'EVENT_BUS_URL', why: `${why}; it takes postgres:` })
  }
  if (url.slice('postgres:'.length).replaceAll('/', '') !== '') {
    const why = 'the bus lives in the database of DATABASE_URL; write postgres: alone'
    throw new GuildError('GUILD_CONFIG_INVALID', { name: 'EVENT_BUS_URL', why })
  }
  const bus = new PostgresBus({ database, clock, log })
  return { bus, outbox: new PostgresOutbox(bus) }
}
