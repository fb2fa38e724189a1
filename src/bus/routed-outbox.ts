import type { Queryable } from '../database/database.ts'
import type { BusMessage, TopicBatch } from './bus.ts'
import { matchesTopic } from './message-rules.ts'
import type { Outbox } from './outbox.ts'

export interface RoutedOutboxDeps {
  /** for the topics of the bus in the database */
  readonly durable: Outbox
  /** for those of the other */
  readonly fast: Outbox
  readonly fastTopics: readonly string[]
}

/** The outbox that belongs to a RoutedBus. */
export class RoutedOutbox implements Outbox {
  readonly #deps: RoutedOutboxDeps

  constructor(deps: RoutedOutboxDeps) {
    this.#deps = deps
  }

  async add(tx: Queryable, topic: string, messages: readonly BusMessage[]): Promise<void> {
    await this.addAll(tx, [{ topic, messages }])
  }

  async addAll(tx: Queryable, batches: readonly TopicBatch[]): Promise<void> {
    const { durable, fast, fastTopics } = this.#deps
    const isFast = ({ topic }: TopicBatch) => fastTopics.some((one) => matchesTopic(one, topic))
    const ofFast = batches.filter(isFast)
    if (ofFast.length > 0) await fast.addAll(tx, ofFast)
    if (ofFast.length < batches.length)
      await durable.addAll(
        tx,
        batches.filter((batch) => !isFast(batch)),
      )
  }

  async relay(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#deps.durable.relay(signal), this.#deps.fast.relay(signal)])
  }
}
