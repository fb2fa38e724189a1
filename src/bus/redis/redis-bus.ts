import { backoffMs } from '../../kernel/backoff.ts'
import type { Clock } from '../../kernel/clock.ts'
import { GuildError, reasonOf } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import type { RedisCommands } from '../../redis/redis.ts'
import type { Bus, BusMessage, GroupLag, Handler, LoggedMessage, Subscription } from '../bus.ts'
import { ConsumerLoop } from '../consumer-loop.ts'
import { GatheredPublish } from '../gathered-publish.ts'
import { matchesTopic, subscriptionOf, toWire } from '../message-rules.ts'
import { RedisClaims } from './redis-claims.ts'
import { groupIdOf, listOf, readHash, RedisKeys, scripts, textsOf } from './redis-keys.ts'
import { loggedOf } from './redis-log.ts'
import { RedisWakes } from './redis-wakes.ts'

export interface RedisBusDeps {
  readonly redis: RedisCommands
  readonly clock: Clock
  readonly log: Log
  /** Several guilds may share a server under different names. Default `guild`. */
  readonly name?: string
  /** Whose time decides what is due. Default `server`, which all processes share; `clock` is for tests that move time. */
  readonly time?: 'server' | 'clock'
  /** A consumer has found no group and made one: what it was owed before is not there, or never was. Must not reject. */
  readonly onNewGroup?: (subscription: Pick<Subscription, 'topic' | 'group'>) => Promise<void>
}

/** What one call publishes, five texts a message as the script takes them. */
interface Parcel {
  readonly topic: string
  readonly messages: number
  readonly bytes: number
  readonly args: readonly string[]
}

/** One is worked on while the next is on its way. */
const publishesMax = 2
const openRetry = { baseMs: 100, maxMs: 10_000 }
/** Entries read in one script, which nothing else can interrupt. */
const sliceMax = 100

/**
 * The bus on Redis Streams (docs/decisions/0008-redis-bus.md): one stream per topic is the log, sorted sets per group say what it has
 * not acknowledged. Publishing, claiming and settling take one round trip for a whole batch each. What has been published survives what
 * the server survives; groups that a server has lost are created again. The connection is not closed with the bus.
 */
export class RedisBus implements Bus {
  readonly #deps: RedisBusDeps
  readonly #keys: RedisKeys
  readonly #wakes: RedisWakes
  readonly #closing = new AbortController()
  readonly #consumers = new Set<Promise<void>>()
  readonly #publishing = new GatheredPublish<Parcel>((parcels) => this.#write(parcels), publishesMax)

  constructor(deps: RedisBusDeps) {
    this.#deps = deps
    const { redis, clock, log } = deps
    const keys = new RedisKeys(deps.name ?? 'guild')
    this.#keys = keys
    this.#wakes = new RedisWakes({
      clock,
      log,
      listen: (onGroup, onGap) => redis.listen(keys.wake, onGroup, onGap),
      due: async (groupIds) => textsOf(await redis.run(scripts.due, [keys.groups], [this.#now(), ...groupIds])),
    })
  }

  async publish(topic: string, messages: readonly BusMessage[]): Promise<void> {
    const wire = toWire(topic, messages)
    if (wire.length === 0) return
    let bytes = 0
    const args: string[] = []
    for (const { id, lane, notBefore, key, body } of wire) {
      args.push(id, String(lane), notBefore === null ? '' : String(notBefore.getTime()), key ?? '', body)
      bytes += body.length
    }
    await this.#publishing.publish({ topic, messages: wire.length, bytes, args })
  }

  async ensureGroup(subscription: Pick<Subscription, 'topic' | 'group' | 'from'>): Promise<void> {
    await this.#ensureGroup(subscription)
  }

  async consume(subscription: Subscription, handle: Handler, signal: AbortSignal): Promise<void> {
    const running = this.#consume(subscriptionOf(subscription), handle, AbortSignal.any([signal, this.#closing.signal]))
    this.#consumers.add(running)
    try {
      await running
    } finally {
      this.#consumers.delete(running)
    }
  }

  async peek(topic: string, { limit, before }: { limit: number; before?: string }): Promise<readonly LoggedMessage[]> {
    if (before !== undefined && !/^\d{1,16}(-\d{1,16})?$/.test(before)) return []
    const newest = before === undefined ? '+' : `(${before}`
    const pages = await Promise.all(
      (await this.#topics(topic)).map(async (one) => {
        const key = this.#keys.stream(one)
        const reply = await this.#deps.redis.command(key, ['XREVRANGE', key, newest, '-', 'COUNT', String(limit)])
        return listOf(reply).map((entry) => loggedOf(one, entry))
      }),
    )
    return pages
      .flat()
      .sort((a, b) => b.place.ms - a.place.ms || b.place.n - a.place.n)
      .slice(0, limit)
      .map(({ message }) => message)
  }

  async replay(range: { topic: string; group: string; from: Date; to: Date }): Promise<number> {
    const groups = await this.#groupsFor(range.topic, range.group)
    if (groups.length === 0) throw new GuildError('GUILD_NOT_FOUND', { what: 'group', id: range.group })
    const topics = await this.#topics(range.topic)
    let count = 0
    for (const [groupId, pattern] of groups) {
      for (const topic of topics.filter((one) => matchesTopic(pattern, one))) {
        count += await this.#replayTopic(groupId, topic, range)
      }
    }
    return count
  }

  async lag(): Promise<readonly GroupLag[]> {
    const rows = listOf(await this.#deps.redis.run(scripts.lag, [this.#keys.groups], [this.#now()]))
    const lags = rows.map((row) => {
      const [topic, group, ready, inFlight, delayed, oldestReadyMs] = listOf(row)
      return {
        topic: String(topic),
        group: String(group),
        ready: Number(ready),
        inFlight: Number(inFlight),
        delayed: Number(delayed),
        oldestReadyMs: Number(oldestReadyMs),
      }
    })
    return lags.sort((a, b) => compare(a.topic, b.topic) || compare(a.group, b.group))
  }

  async count(topic: string): Promise<number> {
    const counts = await Promise.all(
      (await this.#topics(topic)).map(async (one) => {
        const key = this.#keys.stream(one)
        return Number(await this.#deps.redis.command(key, ['XLEN', key]))
      }),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async trim(topic: string, { olderThan }: { olderThan: Date }): Promise<number> {
    const { groups, topics } = this.#keys
    let removed = 0
    for (const one of await this.#topics(topic)) {
      for (let next = '-'; next !== '';) {
        const reply = await this.#deps.redis.run(
          scripts.trim,
          [groups, topics, this.#keys.stream(one)],
          [one, String(olderThan.getTime()), next, String(sliceMax)],
        )
        const [count, after] = listOf(reply)
        removed += Number(count)
        next = String(after)
      }
    }
    return removed
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#consumers)
    await this.#wakes.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #consume(subscription: Required<Subscription>, handle: Handler, signal: AbortSignal): Promise<void> {
    const { redis, clock, log } = this.#deps
    if (!(await this.#ensuredAtLast(subscription, signal))) return
    const { topic, group, leaseMs } = subscription
    const store = new RedisClaims({
      redis,
      keys: this.#keys,
      groupId: groupIdOf(topic, group),
      leaseMs,
      wakes: this.#wakes,
      now: () => this.#now(),
      // Whatever it began with: what has been published since the loss is for this group too.
      recreate: () => this.#ensureOwn({ topic, group, from: 'earliest' }),
      log,
    })
    await new ConsumerLoop({ subscription, store, handle, clock, log }).run(signal)
  }

  /** @returns false when aborted before the store could be reached */
  async #ensuredAtLast(subscription: Required<Subscription>, signal: AbortSignal): Promise<boolean> {
    const { clock, log } = this.#deps
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        await this.#ensureOwn(subscription)
        return true
      } catch (error) {
        const { topic, group } = subscription
        log.warn({ topic, group, failures: attempt, why: reasonOf(error) }, 'bus not reachable')
        await clock.sleep(backoffMs(attempt, openRetry, Math.random()), signal)
      }
    }
    return false
  }

  async #write(parcels: readonly Parcel[]): Promise<void> {
    const { groups, topics, clock } = this.#keys
    const byTopic = Map.groupBy(parcels, ({ topic }) => topic)
    const streams = [...byTopic.keys()].map((topic) => this.#keys.stream(topic))
    const args = [this.#now()]
    for (const [topic, ofTopic] of byTopic) {
      args.push(topic, String(ofTopic.reduce((sum, { messages }) => sum + messages, 0)))
      for (const parcel of ofTopic) for (const arg of parcel.args) args.push(arg)
    }
    await this.#deps.redis.run(scripts.publish, [groups, topics, clock, ...streams], args)
  }

  /** That of a consumer of this process. */
  async #ensureOwn(subscription: Pick<Subscription, 'topic' | 'group' | 'from'>): Promise<void> {
    if (await this.#ensureGroup(subscription)) await this.#deps.onNewGroup?.(subscription)
  }

  /** @returns whether it is new */
  async #ensureGroup({ topic, group, from }: Pick<Subscription, 'topic' | 'group' | 'from'>): Promise<boolean> {
    const { groups, topics, clock } = this.#keys
    const args = [groupIdOf(topic, group), topic, from ?? 'earliest']
    for (let created = false; ;) {
      const all = [...args, this.#now(), String(sliceMax)]
      const [done, isNew] = listOf(await this.#deps.redis.run(scripts.ensureGroup, [groups, topics, clock], all))
      created ||= isNew === 1
      if (done === 1) return created
    }
  }

  async #replayTopic(groupId: string, topic: string, { from, to }: { from: Date; to: Date }): Promise<number> {
    const keys = [this.#keys.groups, this.#keys.stream(topic)] as const
    let count = 0
    // Positions are never earlier than the time of publishing.
    for (let next = from.getTime() > 0 ? String(from.getTime()) : '-'; next !== '';) {
      const range = [String(from.getTime()), String(to.getTime()), this.#now(), String(sliceMax)]
      const reply = listOf(await this.#deps.redis.run(scripts.replay, [...keys], [groupId, topic, next, ...range]))
      count += Number(reply[0])
      next = String(reply[1])
    }
    return count
  }

  /** Groups of that name which take something of the topic or prefix, with what they take. */
  async #groupsFor(topic: string, name: string): Promise<readonly (readonly [string, string])[]> {
    const all = await readHash(this.#deps.redis, this.#keys.groups)
    return [...all].filter(
      ([id, pattern]) =>
        id === groupIdOf(pattern, name) && (matchesTopic(pattern, bare(topic)) || matchesTopic(topic, bare(pattern))),
    )
  }

  async #topics(topic: string): Promise<readonly string[]> {
    if (!topic.endsWith('*')) return [topic]
    const { topics } = this.#keys
    const all = textsOf(await this.#deps.redis.command(topics, ['SMEMBERS', topics]))
    return all.filter((one) => matchesTopic(topic, one)).sort()
  }

  #now(): string {
    return this.#deps.time === 'clock' ? String(this.#deps.clock.now().getTime()) : ''
  }
}

function bare(topic: string): string {
  return topic.replace(/\*$/, '')
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
