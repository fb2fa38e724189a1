import type { Queryable } from '../../database/database.ts'
import type { BusMessage, TopicBatch } from '../bus.ts'
import type { Outbox } from '../outbox.ts'
import type { PostgresBus } from './postgres-bus.ts'

/** The bus is in the same database: publishing in the caller's transaction is all it takes. */
export class PostgresOutbox implements Outbox {
  readonly #bus: PostgresBus

  constructor(bus: PostgresBus) {
    this.#bus = bus
  }

  async add(tx: Queryable, topic: string, messages: readonly BusMessage[]): Promise<void> {
    await this.#bus.publishIn(tx, [{ topic, messages }])
  }

  async addAll(tx: Queryable, batches: readonly TopicBatch[]): Promise<void> {
    await this.#bus.publishIn(tx, batches)
  }

  async relay(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  }
}
