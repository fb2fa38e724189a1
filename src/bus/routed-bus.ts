import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { topics } from '../kernel/topics.ts'
import type { Bus, BusMessage, GroupLag, Handler, LoggedMessage, Subscription } from './bus.ts'
import { driveConsumer } from './drive.ts'
import { matchesTopic } from './message-rules.ts'

export interface RoutedBusDeps {
  /** Keeps what nothing else keeps. Takes every topic that is not named below. */
  readonly durable: Bus
  /** May lose what it was given: rows say what to send again (law 1). */
  readonly fast: Bus
  /** Topics and prefixes ending in `*`. */
  readonly fastTopics: readonly string[]
  readonly log: Log
}

/**
 * Two buses as one, by topic. A subscription belongs to one of them: a prefix that reaches into both is refused (GUILD_INTERNAL).
 * Dead letters of the fast bus are carried over to the durable one by `deadLetters`, which some process must drive.
 */
export class RoutedBus implements Bus {
  readonly #deps: RoutedBusDeps

  constructor(deps: RoutedBusDeps) {
    this.#deps = deps
  }

  async publish(topic: string, messages: readonly BusMessage[]): Promise<void> {
    await this.#for(topic).publish(topic, messages)
  }

  async ensureGroup(subscription: Pick<Subscription, 'topic' | 'group' | 'from'>): Promise<void> {
    await this.#for(subscription.topic).ensureGroup(subscription)
  }

  async consume(subscription: Subscription, handle: Handler, signal: AbortSignal): Promise<void> {
    await this.#for(subscription.topic).consume(subscription, handle, signal)
  }

  async peek(topic: string, options: { limit: number; before?: string }): Promise<readonly LoggedMessage[]> {
    return this.#for(topic).peek(topic, options)
  }

  async replay(options: { topic: string; group: string; from: Date; to: Date }): Promise<number> {
    return this.#for(options.topic).replay(options)
  }

  /** Without that of the fast bus while it cannot be reached: who asks for the state of things wants the rest of it most then. */
  async lag(): Promise<readonly GroupLag[]> {
    const { durable, fast, log } = this.#deps
    const fastLag = async () => {
      try {
        // Letters on their way between the two are nobody's business but ours.
        return (await fast.lag()).filter(({ topic, ready }) => topic !== topics.dead || ready > 0)
      } catch (error) {
        if (!isGuildError(error) || !error.retryable) throw error
        log.warn({ why: reasonOf(error) }, 'the lag of the fast bus is not known')
        return []
      }
    }
    const [durableLag, ofFast] = await Promise.all([durable.lag(), fastLag()])
    return [...durableLag, ...ofFast]
  }

  async count(topic: string): Promise<number> {
    return this.#sum(topic, (bus) => bus.count(topic))
  }

  async trim(topic: string, options: { olderThan: Date }): Promise<number> {
    return this.#sum(topic, (bus) => bus.trim(topic, options))
  }

  async close(): Promise<void> {
    await Promise.all([this.#deps.durable.close(), this.#deps.fast.close()])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Carries dead letters over. Any number of processes may drive it. */
  deadLetters(): Service {
    const { durable, fast, log } = this.#deps
    const handle: Handler = async (batch) => {
      await durable.publish(
        topics.dead,
        batch.map(({ id, priority, body }) => ({ id, priority, body })),
      )
    }
    const subscription = { topic: topics.dead, group: 'carrier', maxInFlight: 64, batchMax: 64 }
    // Nothing of it may be lost for being carried too often: it stays until the durable bus has it.
    return driveConsumer(fast, { subscription: { ...subscription, attemptsMax: 1_000_000 }, handle }, log)
  }

  #for(topic: string): Bus {
    const [bus, ...others] = this.#both(topic)
    if (bus !== undefined && others.length === 0) return bus
    throw new GuildError('GUILD_INTERNAL', { why: `${topic} reaches into two buses` })
  }

  /** Those that have something of the topic or prefix. */
  #both(topic: string): readonly Bus[] {
    const { durable, fast, fastTopics } = this.#deps
    const start = topic.replace(/\*$/, '')
    // The prefix `a.b.*` matches as a topic what begins with `a.b.`, and so does all it may take.
    if (fastTopics.some((one) => matchesTopic(one, start) && (one.endsWith('*') || one === topic))) return [fast]
    const reaches = topic.endsWith('*') && fastTopics.some((one) => one.replace(/\*$/, '').startsWith(start))
    return reaches ? [durable, fast] : [durable]
  }

  async #sum(topic: string, ask: (bus: Bus) => Promise<number>): Promise<number> {
    const counts = await Promise.all(this.#both(topic).map(ask))
    return counts.reduce((sum, count) => sum + count, 0)
  }
}
