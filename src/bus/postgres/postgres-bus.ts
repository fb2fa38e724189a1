import type { Database, Param, Queryable, Result } from '../../database/database.ts'
import { mergeable } from '../../database/gathered.ts'
import { statements } from '../../database/statements.ts'
import { backoffMs } from '../../kernel/backoff.ts'
import type { Clock } from '../../kernel/clock.ts'
import { GuildError, reasonOf } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import { lagMax } from '../bus.ts'
import type { Bus, BusMessage, GroupLag, Handler, LoggedMessage, Subscription, TopicBatch } from '../bus.ts'
import { ConsumerLoop } from '../consumer-loop.ts'
import { GatheredPublish } from '../gathered-publish.ts'
import { priorityOf, subscriptionOf, toWire, type WireMessage } from '../message-rules.ts'
import { PostgresClaims } from './postgres-claims.ts'
import { Wakes } from './wakes.ts'

const sql = statements(import.meta.url, './bus.sql', [
  'publish',
  'wake',
  'ensureGroup',
  'claim',
  'extend',
  'settle',
  'settleAndClaim',
  'due',
  'peek',
  'replay',
  'lag',
  'count',
  'trim',
  'vacuum',
  'tidy',
])

export interface PostgresBusDeps {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /**
   * Whose time decides what is due. Default `database`, which all processes share; `clock` is for tests that move time.
   */
  readonly time?: 'database' | 'clock'
  /** Messages settled by this process after which what they left behind is cleared away. Default 20 000. */
  readonly tidyEvery?: number
}

/** What one call publishes, as the statement takes it. */
interface Parcel {
  readonly messages: number
  readonly bytes: number
  readonly topics: readonly string[]
  readonly wires: readonly WireMessage[]
}

const channel = 'guild_bus'
/** Between two bodies in one text: JSON never holds it unescaped. */
const bodyEnd = '\u001E'
/** Within transactions that many callers share, too. */
const publish = mergeable(sql.publish, (calls) => {
  const joined = (index: number) => calls.flatMap((params) => listOf(params[index]))
  const [first = []] = calls
  const bodies = calls.map((params) => String(params[5])).join(bodyEnd)
  return [joined(0), joined(1), joined(2), joined(3), joined(4), bodies, ...first.slice(6)]
})
/** One waits for the disk while another is worked on. */
const statementsMax = 2
const trimBatch = 5_000
type Trimmed = Result<{ readonly removed: number; readonly last: number | null }>
const openRetry = { baseMs: 100, maxMs: 10_000 }

/**
 * The bus in schema `guild_bus` of the product's own database (migrations/0004_bus.sql and 0031_bus_held.sql). Publishing, claiming and
 * settling take one round trip for a whole batch each. The database is not closed with the bus.
 */
export class PostgresBus implements Bus {
  readonly #deps: PostgresBusDeps
  readonly #wakes: Wakes
  readonly #closing = new AbortController()
  readonly #consumers = new Set<Promise<void>>()
  #untidy = 0
  #tidying: Promise<void> | undefined
  readonly #publishing: GatheredPublish<Parcel>

  constructor(deps: PostgresBusDeps) {
    this.#deps = deps
    const { database, clock, log } = deps
    this.#publishing = new GatheredPublish(
      (parcels) => this.#publish(parcels),
      database.kind === 'pglite' ? 1 : statementsMax,
    )
    this.#wakes = new Wakes({
      clock,
      log,
      listen: (onNotify) => database.listen(channel, onNotify),
      due: async (groups) =>
        (await database.query<{ id: number }>(sql.due, [groups, this.#now()])).rows.map((row) => row.id),
      notify: async (groups, sender) => {
        await database.query(sql.wake, [groups, sender])
      },
    })
  }

  async publish(topic: string, messages: readonly BusMessage[]): Promise<void> {
    this.#deps.database.refuseNested?.()
    const parcel = parcelOf([{ topic, messages }])
    if (parcel.messages > 0) await this.#publishing.publish(parcel)
  }

  /** Publishes if, and only if, the caller's transaction commits; one statement, however many topics. */
  async publishIn(tx: Queryable, batches: readonly TopicBatch[]): Promise<void> {
    const parcel = parcelOf(batches)
    if (parcel.messages > 0) await this.#write(tx, [parcel], true)
  }

  async ensureGroup(subscription: Pick<Subscription, 'topic' | 'group' | 'from'>): Promise<void> {
    await this.#groupId(subscription)
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
    const { rows } = await this.#deps.database.query<PeekRow>(sql.peek, [topic, before ?? null, limit])
    return rows.map(({ position, id, topic, key, lane, body, publishedAt }) => ({
      position: String(position),
      id,
      topic,
      key,
      priority: priorityOf(lane),
      body: JSON.parse(body) as unknown,
      publishedAt,
    }))
  }

  async replay(range: { topic: string; group: string; from: Date; to: Date }): Promise<number> {
    const { topic, group, from, to } = range
    const { rows } = await this.#deps.database.query<{ count: number | null }>(sql.replay, [
      topic,
      group,
      from,
      to,
      this.#now(),
    ])
    const count = rows[0]?.count ?? null
    if (count === null) throw new GuildError('GUILD_NOT_FOUND', { what: 'group', id: group })
    return count
  }

  async lag(): Promise<readonly GroupLag[]> {
    return (await this.#deps.database.query<GroupLag>(sql.lag, [this.#now(), lagMax])).rows
  }

  async count(topic: string): Promise<number> {
    return (await this.#deps.database.query<{ count: number }>(sql.count, [topic])).rows[0]?.count ?? 0
  }

  async trim(topic: string, { olderThan }: { olderThan: Date }): Promise<number> {
    const { database } = this.#deps
    let removed = 0
    for (let last: number | null = 0; last !== null;) {
      const step: Trimmed = await database.query(sql.trim, [topic, olderThan, last, trimBatch])
      removed += step.rows[0]?.removed ?? 0
      last = step.rows[0]?.last ?? null
    }
    // The embedded engine has no autovacuum: without this its indexes would keep every message that ever passed.
    if (database.kind === 'pglite') await database.query(sql.vacuum)
    return removed
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#consumers)
    await this.#wakes.close()
    await this.#tidying
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #consume(subscription: Required<Subscription>, handle: Handler, signal: AbortSignal): Promise<void> {
    const { database, clock, log } = this.#deps
    const groupId = await this.#groupIdAtLast(subscription, signal)
    if (groupId === undefined) return
    const { leaseMs } = subscription
    const store = new PostgresClaims({
      db: database,
      sql,
      groupId,
      leaseMs,
      wakes: this.#wakes,
      now: () => this.#now(),
      onSettled: (count) => this.#settled(count),
    })
    await new ConsumerLoop({ subscription, store, handle, clock, log }).run(signal)
  }

  /** @returns undefined when aborted before the store could be reached */
  async #groupIdAtLast(subscription: Required<Subscription>, signal: AbortSignal): Promise<number | undefined> {
    const { clock, log } = this.#deps
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        return await this.#groupId(subscription)
      } catch (error) {
        const { topic, group } = subscription
        log.warn({ topic, group, failures: attempt, why: reasonOf(error) }, 'bus not reachable')
        await clock.sleep(backoffMs(attempt, openRetry, Math.random()), signal)
      }
    }
    return undefined
  }

  async #groupId({ topic, group, from }: Pick<Subscription, 'topic' | 'group' | 'from'>): Promise<number> {
    const params = [topic, group, from ?? 'earliest', this.#now()]
    const { rows } = await this.#deps.database.query<{ id: number }>(sql.ensureGroup, params)
    const id = rows[0]?.id
    if (id === undefined) throw new GuildError('GUILD_INTERNAL', { why: `the group ${group} was not created` })
    return id
  }

  /**
   * A claim looks for the first row that is ready, over those that have gone: with some 200 000 of them, as many as a busy minute leaves
   * behind, it takes five times as long. Autovacuum looks once a minute; so whoever leaves much behind clears it away, 3 µs a message.
   */
  #settled(count: number): void {
    const { database, tidyEvery = 20_000 } = this.#deps
    this.#untidy += count
    // The embedded engine has a maintenance of its own.
    if (this.#untidy < tidyEvery || database.kind === 'pglite') return
    this.#untidy = 0
    this.#tidying ??= this.#tidy()
  }

  /** Never rejects. */
  async #tidy(): Promise<void> {
    try {
      await this.#deps.database.query(sql.tidy)
    } catch (error) {
      this.#deps.log.debug({ why: reasonOf(error) }, 'what messages left behind is not cleared away')
    }
    this.#tidying = undefined
  }

  /** In a transaction of its own, which on a server does not notify: it would hold the next one up until its commit is on the disk. */
  async #publish(parcels: readonly Parcel[]): Promise<void> {
    const { database } = this.#deps
    const alone = database.kind === 'pglite'
    const groups = await this.#write(database, parcels, alone)
    if (!alone) this.#wakes.announce(groups)
  }

  /** @returns the groups that may have something to claim */
  async #write(tx: Queryable, parcels: readonly Parcel[], wake: boolean): Promise<readonly number[]> {
    const wires = parcels.flatMap((parcel) => parcel.wires)
    const { rows } = await tx.query<{ groups: readonly number[] }>(publish, [
      parcels.flatMap((parcel) => parcel.topics),
      wires.map(({ id }) => id),
      wires.map(({ key }) => key),
      wires.map(({ lane }) => lane),
      wires.map(({ notBefore }) => notBefore?.toISOString() ?? null),
      wires.map(({ body }) => body).join(bodyEnd),
      this.#now(),
      wake,
    ])
    return rows[0]?.groups ?? []
  }

  #now(): Date | null {
    return this.#deps.time === 'clock' ? this.#deps.clock.now() : null
  }
}

function parcelOf(batches: readonly TopicBatch[]): Parcel {
  const wires = batches.flatMap(({ topic, messages }) => toWire(topic, messages))
  const topics = batches.flatMap(({ topic, messages }) => messages.map(() => topic))
  const bytes = wires.reduce((sum, { body }) => sum + body.length, 0)
  return { messages: wires.length, bytes, topics, wires }
}

function listOf(param: Param | undefined): readonly string[] {
  return Array.isArray(param) ? (param as readonly string[]) : [] // elements are sent as text, numbers and nulls alike
}

interface PeekRow {
  readonly position: number
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly lane: number
  readonly body: string
  readonly publishedAt: Date
}
