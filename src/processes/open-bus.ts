import type { Bus } from '../bus/bus.ts'
import type { Outbox } from '../bus/outbox.ts'
import { PostgresBus } from '../bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../bus/postgres/postgres-outbox.ts'
import type { Settings } from '../config/settings.ts'
import type { Database } from '../database/database.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { openRedisBus } from './open-redis-bus.ts'

export interface BusFinding {
  readonly verdict: 'ok' | 'warning' | 'problem'
  readonly finding: string
  readonly fix: string | null
}

export interface OpenBus extends AsyncDisposable {
  readonly bus: Bus
  readonly outbox: Outbox
  /** To be driven wherever the outbox is relayed. */
  readonly services: readonly Service[]
  /** for people: without credentials */
  readonly shown: string
  /** What `guild doctor` says of it. */
  examine(): Promise<BusFinding>
  /** Why a process that lives from it cannot work at the moment. */
  unready(): readonly string[]
}

/** The bus that EVENT_BUS_URL names. Close it before the database. @throws GUILD_CONFIG_INVALID, GUILD_REDIS_UNAVAILABLE */
export async function openBus(
  settings: Pick<Settings, 'eventBusUrl'>,
  database: Database,
  clock: Clock,
  log: Log,
): Promise<OpenBus> {
  const url = settings.eventBusUrl.reveal()
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(url)?.[0]?.toLowerCase()
  if (scheme === 'redis' || scheme === 'rediss') {
    return openRedisBus({ url: settings.eventBusUrl, database, clock, log })
  }
  if (scheme !== 'postgres') {
    // Never the URL itself: it may carry a password.
    const why = scheme === undefined ? 'it has no scheme' : `there is no bus for ${scheme}: in this version`
    throw new GuildError('GUILD_CONFIG_INVALID', {
      name: 'EVENT_BUS_URL',
      why: `${why}; it takes postgres: or redis://host:6379`,
    })
  }
  if (url.slice('postgres:'.length).replaceAll('/', '') !== '') {
    const why = 'the bus lives in the database of DATABASE_URL; write postgres: alone'
    throw new GuildError('GUILD_CONFIG_INVALID', { name: 'EVENT_BUS_URL', why })
  }
  const bus = new PostgresBus({ database, clock, log })
  return {
    bus,
    outbox: new PostgresOutbox(bus),
    services: [],
    shown: 'postgres',
    examine: () => Promise.resolve({ verdict: 'ok', finding: 'in the database', fix: null }),
    unready: () => [],
    [Symbol.asyncDispose]: () => bus.close(),
  }
}
