import type { Clock } from '../../kernel/clock.ts'
import { GuildError } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import { topics } from '../../kernel/topics.ts'
import type { Bus, BusMessage, GroupLag, Handler, LoggedMessage, Subscription } from '../bus.ts'
import { ConsumerLoop } from '../consumer-loop.ts'
import { matchesTopic, rankOf, subscriptionOf, toWire, type WireMessage } from '../message-rules.ts'
import { MemoryClaims } from './memory-claims.ts'
import { loggedOf, type Group, type MemoryLog, openFor, type Open } from './memory-log.ts'

export interface MemoryBusDeps {
  /** Buses on one log are one bus. */
  readonly log: MemoryLog
  readonly clock: Clock
  readonly logger: Log
}

/** For tests of components: nothing outlives the process. Held to the same suite as the real ones. */
export class MemoryBus implements Bus {
  readonly #deps: MemoryBusDeps
  readonly #closing = new AbortController()
  readonly #consumers = new Set<Promise<void>>()
  #reachable = true

  constructor(deps: MemoryBusDeps) {
    this.#deps = deps
  }

  /** As if the store were lost, and found again. */
  setReachable(reachable: boolean): void {
    this.#reachable = reachable
  }

  async publish(topic: string, messages: readonly BusMessage[]): Promise<void> {
    const wire = toWire(topic, messages)
    await Promise.resolve()
    this.#reach()
    this.#append(topic, wire)
  }

  async ensureGroup(subscription: Pick<Subscription, 'topic' | 'group' | 'from'>): Promise<void> {
    await Promise.resolve()
    this.#reach()
    this.#group(subscription)
  }

  async consume(subscription: Subscription, handle: Handler, signal: AbortSignal): Promise<void> {
    const full = subscriptionOf(subscription)
    const { log, clock, logger } = this.#deps
    const store = new MemoryClaims({
      log,
      clock,
      group: this.#group(full),
      leaseMs: full.leaseMs,
      reach: () => this.#reach(),
      publishDead: (id, lane, letter) =>
        this.#append(topics.dead, [{ id, lane, key: null, notBefore: null, body: JSON.stringify(letter) }]),
    })
    const loop = new ConsumerLoop({ subscription: full, store, handle, clock, log: logger })
    const running = loop.run(AbortSignal.any([signal, this.#closing.signal]))
    this.#consumers.add(running)
    await running.finally(() => this.#consumers.delete(running))
  }

  async peek(topic: string, { limit, before }: { limit: number; before?: string }): Promise<readonly LoggedMessage[]> {
    const found = this.#entries(topic).filter((entry) => before === undefined || entry.position < Number(before))
    return found.slice(-limit).reverse().map(loggedOf)
  }

  async replay(range: { topic: string; group: string; from: Date; to: Date }): Promise<number> {
    const groups = this.#deps.log.groups.filter(
      ({ name, topic }) =>
        name === range.group && (matchesTopic(topic, bare(range.topic)) || matchesTopic(range.topic, bare(topic))),
    )
    if (groups.length === 0) throw new GuildError('GUILD_NOT_FOUND', { what: 'group', id: range.group })
    let count = 0
    for (const group of groups) {
      for (const entry of this.#entries(range.topic)) {
        if (!matchesTopic(group.topic, entry.topic) || group.open.has(entry.position)) continue
        if (entry.publishedAt < range.from || entry.publishedAt > range.to) continue
        group.open.set(entry.position, openFor(entry, this.#nowMs()))
        count += 1
      }
    }
    this.#deps.log.wakeAll()
    return count
  }

  async lag(): Promise<readonly GroupLag[]> {
    this.#reach()
    const nowMs = this.#nowMs()
    return this.#deps.log.groups.map(({ topic, name, open }) => {
      const all = [...open.values()]
      const due = all.filter((one) => one.state === 'ready' || one.dueMs <= nowMs)
      return {
        topic,
        group: name,
        ready: due.length,
        inFlight: all.filter((one) => one.state === 'claimed' && one.dueMs > nowMs).length,
        delayed: all.filter((one) => one.state === 'delayed' && one.dueMs > nowMs).length,
        oldestReadyMs: due.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...due.map(waitingSinceMs))),
      }
    })
  }

  async count(topic: string): Promise<number> {
    return this.#entries(topic).length
  }

  async trim(topic: string, { olderThan }: { olderThan: Date }): Promise<number> {
    const { log } = this.#deps
    const before = log.entries.length
    log.entries = log.entries.filter(
      (entry) =>
        !matchesTopic(topic, entry.topic) ||
        entry.publishedAt >= olderThan ||
        log.groups.some((group) => group.open.has(entry.position)),
    )
    return before - log.entries.length
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#consumers)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #append(topic: string, wire: readonly WireMessage[]): void {
    const { log } = this.#deps
    const publishedAt = new Date(this.#nowMs())
    for (const message of wire) {
      const entry = { ...message, topic, publishedAt, position: log.nextPosition() }
      log.entries.push(entry)
      for (const group of log.groups) {
        if (matchesTopic(group.topic, topic)) group.open.set(entry.position, openFor(entry, this.#nowMs()))
      }
    }
    log.wakeAll()
  }

  #group({ topic, group: name, from }: Pick<Subscription, 'topic' | 'group' | 'from'>): Group {
    const { log } = this.#deps
    const known = log.groups.find((group) => group.topic === topic && group.name === name)
    if (known) return known
    const group: Group = { topic, name, open: new Map() }
    if (from !== 'latest') {
      for (const entry of this.#entries(topic)) group.open.set(entry.position, openFor(entry, this.#nowMs()))
    }
    log.groups.push(group)
    return group
  }

  #entries(topic: string) {
    return this.#deps.log.entries.filter((entry) => matchesTopic(topic, entry.topic))
  }

  #nowMs(): number {
    return this.#deps.clock.now().getTime()
  }

  #reach(): void {
    if (!this.#reachable) throw new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'the memory bus was told so' })
  }
}

function waitingSinceMs({ entry }: Open): number {
  return rankOf(0, entry.notBefore ?? entry.publishedAt)
}

function bare(topic: string): string {
  return topic.replace(/\*$/, '')
}
