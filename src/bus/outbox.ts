import type { Queryable } from '../database/database.ts'
import type { BusMessage, TopicBatch } from './bus.ts'

/**
 * Messages that leave if, and only if, the transaction that writes their rows commits (law 1: row first, message second).
 * On a bus in the same database `add` publishes inside the transaction; on any other bus it writes rows to `guild_core.outbox`, which
 * `relay` publishes, at least once, after the commit.
 */
export interface Outbox {
  add(tx: Queryable, topic: string, messages: readonly BusMessage[]): Promise<void>
  /** The same for several topics, in one statement. */
  addAll(tx: Queryable, batches: readonly TopicBatch[]): Promise<void>
  /** Runs until `signal` aborts; a no-op where `add` publishes by itself. */
  relay(signal: AbortSignal): Promise<void>
}
