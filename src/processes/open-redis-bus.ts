import { PostgresBus } from '../bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../bus/postgres/postgres-outbox.ts'
import { RedisBus } from '../bus/redis/redis-bus.ts'
import { RelayOutbox } from '../bus/relay-outbox.ts'
import { RoutedBus } from '../bus/routed-bus.ts'
import { RoutedOutbox } from '../bus/routed-outbox.ts'
import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Secret } from '../kernel/secret.ts'
import type { Service } from '../kernel/service.ts'
import { everyAgentTopic, topics } from '../kernel/topics.ts'
import { Redis } from '../redis/redis.ts'
import { isTooOld, readServerFacts, type ServerFacts } from '../redis/server-facts.ts'
import type { BusFinding, OpenBus } from './open-bus.ts'

export interface RedisBusParts {
  readonly url: Secret
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
}

const sql = statements(import.meta.url, './open-redis-bus.sql', ['sendAgain'])

/**
 * What Redis may carry: each of these messages only points at a row, and a sweeper sends it again when it is lost (invocations:
 * dispatcher/sweeper.ts, actions: actions/sweeper.ts). Every other topic is the only copy of something until its consumer has
 * written it down (deliveries, audit entries, dead letters), and stays in PostgreSQL. docs/decisions/0008-redis-bus.md
 */
export const redisTopics: readonly string[] = [everyAgentTopic, topics.actions]

const setting = 'EVENT_BUS_URL'
const commandMs = 5_000
/** A start waits no longer for Redis: deliveries can be taken without it. */
const patienceMs = 3_000
/** A relay that died with messages in hand holds up the others for so long; longer than one command may take. */
const relayLeaseMs = 8_000
/** Acknowledged messages of Redis only point at rows, and memory is dear. */
const keepMs = 15 * 60_000
const trimEveryMs = 60_000

/** PostgreSQL for what must not be lost, Redis for the rest. @throws GUILD_CONFIG_INVALID, GUILD_REDIS_UNAVAILABLE when it refuses us */
export async function openRedisBus({ url, database, clock, log }: RedisBusParts): Promise<OpenBus> {
  const redis: Redis = Redis.start({
    url,
    setting,
    log,
    commandMs,
    onReconnect: () => void returned(redis, database, log),
  })
  try {
    await greet(redis, log)
  } catch (error) {
    await redis.close()
    throw error
  }
  const durable = new PostgresBus({ database, clock, log })
  const fast = new RedisBus({ redis, clock, log, onNewGroup: ({ topic }) => sendAgain(topic, database, log) })
  const bus = new RoutedBus({ durable, fast, fastTopics: redisTopics, log })
  const outbox = new RoutedOutbox({
    durable: new PostgresOutbox(durable),
    fast: new RelayOutbox({ database, bus, clock, log, leaseMs: relayLeaseMs }),
    fastTopics: redisTopics,
  })
  return {
    bus,
    outbox,
    services: [bus.deadLetters(), trimmer(fast, clock, log)],
    shown: `${redis.shown} for runs and actions, postgres for the rest`,
    examine: () => examine(redis),
    unready: () => (redis.isReady ? [] : ['redis does not answer; see the log']),
    async [Symbol.asyncDispose]() {
      await bus.close()
      await redis.close()
    },
  }
}

/** After Redis has lost its data: the sweeper sends every waiting run again at its next look. */
async function sendAgain(topic: string, database: Database, log: Log): Promise<void> {
  if (topic !== everyAgentTopic) return
  try {
    const { count } = await database.query(sql.sendAgain)
    if (count > 0) log.warn({ runs: count }, 'redis may have lost messages of runs, those that wait are sent again')
  } catch (error) {
    log.warn({ why: reasonOf(error) }, 'waiting runs are sent again at the sweeper’s own pace')
  }
}

/** A server without its append-only file may have come back with an old snapshot, which still has the groups. Never rejects. */
async function returned(redis: Redis, database: Database, log: Log): Promise<void> {
  try {
    const { appendOnly } = await readServerFacts(redis, 'guild')
    if (!appendOnly) await sendAgain(everyAgentTopic, database, log)
  } catch (error) {
    log.warn({ why: reasonOf(error) }, 'whether redis has kept its data is not known')
  }
}

/** Says at the start what an operator will want to know later. */
async function greet(redis: Redis, log: Log): Promise<void> {
  try {
    await redis.ready(patienceMs)
    const facts = await readServerFacts(redis, 'guild')
    if (isTooOld(facts)) {
      const why = `the server is Redis ${facts.version}, and 7.0 or later is needed`
      throw new GuildError('GUILD_CONFIG_INVALID', { name: setting, why })
    }
    const { verdict, finding, fix } = judge(redis.shown, facts)
    if (verdict !== 'ok') log.warn({ finding, fix }, 'the Redis of the bus is not set up as it should be')
  } catch (error) {
    // A wrong password stays wrong.
    if (!isGuildError(error, 'GUILD_REDIS_UNAVAILABLE') || /WRONGPASS|NOAUTH|NOPERM/.test(error.message)) throw error
    log.warn({ redis: redis.shown, why: reasonOf(error) }, 'redis cannot be reached yet, starting without it')
  }
}

async function examine(redis: Redis): Promise<BusFinding> {
  try {
    return judge(redis.shown, await readServerFacts(redis, 'guild'))
  } catch (error) {
    const fix = 'Start Redis or correct EVENT_BUS_URL; deliveries are taken meanwhile, runs and actions wait.'
    return { verdict: 'problem', finding: `${redis.shown}: ${reasonOf(error)}`, fix }
  }
}

/** @param shown the server, without credentials */
export function judge(shown: string, { version, appendOnly, evicts }: ServerFacts): BusFinding {
  const server = `${shown}, Redis ${version}`
  if (evicts) {
    const finding = `${server}, throws keys away when its memory is full`
    return { verdict: 'problem', finding, fix: 'Set maxmemory-policy noeviction.' }
  }
  if (!appendOnly) {
    const finding = `${server}, keeps nothing when it stops: messages are then sent again from PostgreSQL, half a minute later`
    return { verdict: 'warning', finding, fix: 'Set appendonly yes.' }
  }
  return { verdict: 'ok', finding: `${server}, with its append-only file`, fix: null }
}

/** Once a minute; several may run. */
function trimmer(bus: RedisBus, clock: Clock, log: Log): Service {
  return {
    name: 'bus-trimmer',
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(trimEveryMs, signal)
        if (signal.aborted) return
        try {
          await bus.trim('*', { olderThan: new Date(clock.now().getTime() - keepMs) })
        } catch (error) {
          log.warn({ why: reasonOf(error) }, 'the bus was not trimmed, trying again in a minute')
        }
      }
    },
  }
}
