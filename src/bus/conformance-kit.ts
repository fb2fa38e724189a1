import { vi } from 'vitest'
import { systemClock, type Clock } from '../kernel/clock.ts'
import { topics } from '../kernel/topics.ts'
import type { Bus, BusMessage, DeadLetter, Delivery, GroupLag, Handler, Subscription } from './bus.ts'

export interface FragileBus {
  readonly bus: Bus
  readonly setReachable: (reachable: boolean) => void
}

/** What an adapter gives the suite. Every bus it opens stands on one store, as processes do. */
export interface BusHarness {
  open(clock: Clock): Bus
  /** A bus whose way to the store can be cut: what a dead process or a lost network looks like to the others. */
  openFragile(clock: Clock): FragileBus
  close(): Promise<void>
}

/** Time that moves only when told to. Begins now, so that the store's own time would not be far away. */
export class ManualClock implements Clock {
  #nowMs = Date.now()
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>()

  now(): Date {
    return new Date(this.#nowMs)
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted || ms <= 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const sleeper = { atMs: this.#nowMs + ms, wake: resolve }
    this.#sleepers.add(sleeper)
    const wake = () => resolve()
    signal?.addEventListener('abort', wake, { once: true })
    await promise
    signal?.removeEventListener('abort', wake)
    this.#sleepers.delete(sleeper)
  }

  advance(ms: number): void {
    this.#nowMs += ms
    for (const sleeper of this.#sleepers) if (sleeper.atMs <= this.#nowMs) sleeper.wake()
  }
}

/** One consumer under test, and what it has been given. */
export class Eater {
  readonly batches: (readonly Delivery[])[] = []
  readonly #stop = new AbortController()
  readonly ended: Promise<void>
  #changed = Promise.withResolvers<void>()
  hasEnded = false

  constructor(bus: Bus, subscription: Subscription, handle: Handler) {
    const record: Handler = async (batch, signal) => {
      this.batches.push(batch)
      this.#changed.resolve()
      this.#changed = Promise.withResolvers()
      return handle(batch, signal)
    }
    this.ended = bus.consume(subscription, record, this.#stop.signal).finally(() => {
      this.hasEnded = true
    })
  }

  get deliveries(): readonly Delivery[] {
    return this.batches.flat()
  }

  get ids(): readonly string[] {
    return this.deliveries.map((delivery) => delivery.id)
  }

  /** Resolves once so many deliveries have been handed out; the test's own deadline is the limit. */
  async seen(count: number): Promise<readonly Delivery[]> {
    while (this.deliveries.length < count) await this.#changed.promise
    return this.deliveries
  }

  abort(): void {
    this.#stop.abort()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.ended
  }
}

let stages = 0

/** A bus, topics nobody else uses, and everything closed in the end. */
export class Stage implements AsyncDisposable {
  readonly topic: string
  readonly clock: Clock
  readonly bus: Bus
  readonly #harness: BusHarness
  readonly #buses: Bus[] = []
  readonly #eaters: Eater[] = []

  constructor(harness: BusHarness, clock: Clock = systemClock) {
    stages += 1
    this.topic = `test.${stages}.${process.pid}`
    this.#harness = harness
    this.clock = clock
    this.bus = this.another()
  }

  /** Another process on the same store. */
  another(): Bus {
    const bus = this.#harness.open(this.clock)
    this.#buses.push(bus)
    return bus
  }

  fragile(): FragileBus {
    const fragile = this.#harness.openFragile(this.clock)
    this.#buses.push(fragile.bus)
    return fragile
  }

  eat(subscription: Partial<Subscription> = {}, handle: Handler = async () => undefined, bus: Bus = this.bus): Eater {
    const eater = new Eater(bus, { topic: this.topic, group: 'g', maxInFlight: 16, ...subscription }, handle)
    this.#eaters.push(eater)
    return eater
  }

  async publish(...messages: readonly (string | (Partial<BusMessage> & { readonly id: string }))[]): Promise<void> {
    await this.bus.publish(
      this.topic,
      messages.map((message) => (typeof message === 'string' ? { id: message, body: {} } : { body: {}, ...message })),
    )
  }

  async lag(group = 'g', topic = this.topic): Promise<GroupLag> {
    const found = (await this.bus.lag()).find((one) => one.group === group && one.topic === topic)
    // A group that does not exist yet is not one that has eaten everything.
    return found ?? { topic, group, ready: -1, inFlight: 0, delayed: 0, oldestReadyMs: 0 }
  }

  async untilLag(expected: Partial<GroupLag>, group = 'g', topic = this.topic): Promise<void> {
    const wanted = Object.entries(expected)
    const reached = async () => {
      const lag = new Map<string, unknown>(Object.entries(await this.lag(group, topic)))
      return wanted.every(([name, value]) => lag.get(name) === value)
    }
    await vi.waitUntil(reached, { timeout: 20_000, interval: 5 })
  }

  async untilEmpty(group = 'g', topic = this.topic): Promise<void> {
    await this.untilLag({ ready: 0, inFlight: 0, delayed: 0 }, group, topic)
  }

  /** The dead letters that came from this stage's topic, oldest first. */
  async deadLetters(): Promise<readonly DeadLetter[]> {
    const logged = await this.bus.peek(topics.dead, { limit: 1_000 })
    const letters = logged.map((message) => message.body as DeadLetter).filter((letter) => letter.topic === this.topic)
    return letters.reverse()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const eater of this.#eaters) eater.abort()
    await Promise.all(this.#buses.map((bus) => bus.close()))
  }
}

/** A door that a handler waits at. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

export function ids(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}
