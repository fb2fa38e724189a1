import { z } from 'zod'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { backoffMs } from '../kernel/backoff.ts'
import type { Clock } from '../kernel/clock.ts'
import { isGuildError, reasonOf } from '../kernel/errors.ts'
import { priorities } from '../kernel/event.ts'
import { timeId } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import type { Bus, BusMessage, DeadLetter, TopicBatch } from './bus.ts'
import { priorityOf, toWire } from './message-rules.ts'
import type { Outbox } from './outbox.ts'

const sql = statements(import.meta.url, './relay-outbox.sql', ['add', 'claim', 'release', 'remove'])

export interface RelayOutboxDeps {
  readonly database: Database
  readonly bus: Bus
  readonly clock: Clock
  readonly log: Log
  /** How long a dead relay's rows stay untouched. Default 30 000. */
  readonly leaseMs?: number
}

interface Row {
  readonly id: number
  readonly topic: string
  readonly message: unknown
}

const stored = z.object({
  id: z.string(),
  key: z.string().nullable(),
  lane: z
    .int()
    .min(0)
    .max(priorities.length - 1),
  notBefore: z.coerce.date().nullable(),
  // Text within the row: jsonb refuses \u0000 and lone surrogates, which bodies may hold.
  body: z.string(),
})

const batchMax = 200
const pollMs = 2_000
const retry = { baseMs: 100, maxMs: 10_000 }

/**
 * For a bus outside the database: rows in `guild_core.outbox`, published after the commit, at least once, in the order added.
 * Several relays may run; one at a time holds rows, so that they cannot overtake one another.
 */
export class RelayOutbox implements Outbox {
  readonly #deps: RelayOutboxDeps
  readonly #leaseMs: number

  constructor(deps: RelayOutboxDeps) {
    this.#deps = deps
    this.#leaseMs = deps.leaseMs ?? 30_000
  }

  async add(tx: Queryable, topic: string, messages: readonly BusMessage[]): Promise<void> {
    await this.addAll(tx, [{ topic, messages }])
  }

  async addAll(tx: Queryable, batches: readonly TopicBatch[]): Promise<void> {
    const rows = batches.flatMap(({ topic, messages }) =>
      toWire(topic, messages).map((message) => ({ topic, message })),
    )
    if (rows.length > 0) await tx.query(sql.add, [JSON.stringify(rows)])
  }

  async relay(signal: AbortSignal): Promise<void> {
    const { database, clock, log } = this.#deps
    let stopListening: (() => Promise<void>) | undefined
    let wake = Promise.withResolvers<void>()
    for (let failures = 0; !signal.aborted;) {
      try {
        stopListening ??= await database.listen('guild_outbox', () => wake.resolve())
        wake = Promise.withResolvers()
        const moved = await this.#relayBatch()
        failures = 0
        if (moved === 0) await this.#pause(pollMs, wake.promise, signal)
      } catch (error) {
        failures += 1
        log.warn({ failures, why: reasonOf(error) }, 'outbox not relayed')
        await clock.sleep(backoffMs(failures, retry, Math.random()), signal)
      }
    }
    try {
      await stopListening?.()
    } catch (error) {
      log.debug({ why: reasonOf(error) }, 'outbox listener ended with its connection')
    }
  }

  /** @returns rows that left */
  async #relayBatch(): Promise<number> {
    const { database } = this.#deps
    const { rows } = await database.query<Row>(sql.claim, [batchMax, this.#leaseMs])
    const byTopic = [...Map.groupBy(rows, (row) => row.topic)]
    // At once: topics have no order among one another, and a bus may send them in one go.
    const results = await Promise.allSettled(byTopic.map(([topic, ofTopic]) => this.#publish(topic, ofTopic)))
    const gone = byTopic.filter((_, place) => results[place]?.status === 'fulfilled').flatMap(([, ofTopic]) => ofTopic)
    if (gone.length > 0) await database.query(sql.remove, [gone.map((row) => row.id)])
    const failed = results.find((result) => result.status === 'rejected')
    if (failed) {
      const left = rows.filter((row) => !gone.includes(row)).map((row) => row.id)
      // When not even this works the lease lapses by itself.
      await database.query(sql.release, [left])
      throw failed.reason
    }
    return rows.length
  }

  async #publish(topic: string, rows: readonly Row[]): Promise<void> {
    const { bus } = this.#deps
    const messages = rows.map((row) => messageOf(row))
    try {
      await bus.publish(topic, messages)
    } catch (error) {
      if (!isGuildError(error) || error.retryable) throw error
      // One that the bus will never take must not hold back the others.
      for (const message of messages) await this.#publishOrBury(topic, message)
    }
  }

  async #publishOrBury(topic: string, message: BusMessage): Promise<void> {
    const { bus, log } = this.#deps
    try {
      await bus.publish(topic, [message])
    } catch (error) {
      if (!isGuildError(error) || error.retryable) throw error
      log.error({ topic, id: message.id, code: error.code }, 'the bus refuses a message for good, buried')
      await this.#bury(topic, message, error.message)
    }
  }

  async #bury(topic: string, { id, body }: BusMessage, reason: string): Promise<void> {
    const { bus } = this.#deps
    const letter: DeadLetter = { topic, group: null, id, reason, attempts: 1, body }
    try {
      await bus.publish(topics.dead, [{ id, body: letter }])
    } catch (error) {
      if (!isGuildError(error) || error.retryable) throw error
      // What was too large for its topic is too large for the dead letters; the reason must still get there.
      await bus.publish(topics.dead, [
        { id: `outbox:${timeId('msg', this.#deps.clock.now().getTime())}`, body: { ...letter, body: null } },
      ])
    }
  }

  async #pause(ms: number, wake: Promise<void>, signal: AbortSignal): Promise<void> {
    const enough = new AbortController()
    const slept = this.#deps.clock.sleep(ms, AbortSignal.any([signal, enough.signal]))
    await Promise.race([wake, slept])
    enough.abort()
  }
}

function messageOf(row: Row): BusMessage {
  const { id, key, lane, notBefore, body } = stored.parse(row.message)
  return {
    id,
    priority: priorityOf(lane),
    body: JSON.parse(body) as unknown,
    ...(key !== null && { key }),
    ...(notBefore !== null && { notBefore }),
  }
}
