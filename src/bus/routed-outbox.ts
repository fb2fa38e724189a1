import type { Queryable } from '../database/database.ts'
import type { BusMessage } from './bus.ts'
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
    const { durable, fast, fastTopics } = this.#deps
    await (fastTopics.some((one) => matchesTopic(one, topic)) ? fast : durable).add(tx, topic, messages)
  }

  async relay(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#deps.durable.relay(signal), this.#deps.fast.relay(signal)])
  }
}
