import type { Priority } from '../kernel/event.ts'

export interface BusMessage {
  /** The sender's own id of this message, for logs and dead letters. The bus does not deduplicate: consumers are idempotent. */
  readonly id: string
  /** Messages of one topic and key reach a group one after another, in the order published. Absent: no order. */
  readonly key?: string
  /** default NORMAL */
  readonly priority?: Priority
  /** JSON, at most `bodyBytesMax`. */
  readonly body: unknown
  /** Not delivered before this instant, and waiting since then: one in the past puts the message where it would stand had it come then. */
  readonly notBefore?: Date
}

export interface TopicBatch {
  readonly topic: string
  readonly messages: readonly BusMessage[]
}

export interface Delivery {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly priority: Priority
  readonly body: unknown
  /** 1 on the first delivery; counted before the body is parsed */
  readonly attempt: number
  readonly publishedAt: Date
}

export interface Subscription {
  /** A topic, or a prefix ending in `*`, which also matches topics that do not exist yet. */
  readonly topic: string
  readonly group: string
  /** Messages claimed and not yet settled, at most. */
  readonly maxInFlight: number
  /** Messages in one call of the handler, at most. Default 1. */
  readonly batchMax?: number
  /** After so many deliveries a message goes to `guild.dead`. Default 10. */
  readonly attemptsMax?: number
  /** How long a claim holds without being extended; the bus extends it by itself while the handler runs. Default 15 000. */
  readonly leaseMs?: number
  /** Where a new group begins: at the oldest message kept, or at the next one published. Default `earliest`. */
  readonly from?: 'earliest' | 'latest'
}

/** Returned for the messages of a batch that did not succeed; those not named are acknowledged. */
export interface Nack {
  readonly id: string
  readonly reason: string
  /** default: exponential back-off from 1 s to 5 min by attempt */
  readonly delayMs?: number
  /** No further attempt: straight to the dead letters. */
  readonly dead?: boolean
}

/** Resolving acknowledges; rejecting returns the whole batch (with `retryAfterMs` of a GuildError, if it has one). */
export type Handler = (batch: readonly Delivery[], signal: AbortSignal) => Promise<readonly Nack[] | void>

/** A component that eats from the bus; whatever runs it (monolith, pod, Lambda) is outside. */
export interface Consumer {
  readonly subscription: Subscription
  readonly handle: Handler
}

export interface DeadLetter {
  readonly topic: string
  readonly group: string | null
  readonly id: string
  readonly reason: string
  readonly attempts: number
  /** The last attempts, oldest first, ten at most. */
  readonly history?: readonly { readonly attempt: number; readonly at: string; readonly reason: string }[]
  /** The message's own body; for a webhook body that could not be parsed `{headers, bodyBase64}`. */
  readonly body: unknown
}

export interface LoggedMessage {
  /** Position in the topic; grows, with gaps. */
  readonly position: string
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly priority: Priority
  readonly body: unknown
  readonly publishedAt: Date
}

/** A figure of the lag may end here, so that a backlog of a million costs no more to look at; it is shown as ≥. */
export const lagMax = 10_000

export interface GroupLag {
  /** as subscribed: a topic or a prefix */
  readonly topic: string
  readonly group: string
  /** due and not claimed, also when it waits behind an earlier message of its key; an adapter may stop counting at `lagMax` */
  readonly ready: number
  readonly inFlight: number
  readonly delayed: number
  readonly oldestReadyMs: number
}

/**
 * The event bus. The conformance suite proves each sentence, for every adapter.
 *
 * - `publish` resolves when the messages are durable, all or none.
 * - A group gets each message at least once: acknowledged when the handler resolves, returned when it rejects, dead-lettered to
 *   `guild.dead` (body: DeadLetter) after `attemptsMax` deliveries. Attempts are counted before the body is looked at. A message of
 *   `guild.dead` that dies itself is only logged: it stays in the log of the topic.
 * - Consumers of one group compete; groups of one topic are independent. A group exists from its first `consume` (or `ensureGroup`)
 *   on and then misses nothing, also while nobody consumes.
 * - Within a group: order per key, one message of a key at a time; among keys by priority lane, strictly, with ageing (a message gains
 *   one lane per 30 s of waiting on those that came later) so that nothing starves.
 * - `consume` resolves once `signal` has aborted and every handler has settled; what was claimed and not begun is returned at once
 *   without counting an attempt, and so is what a handler gives up because its signal aborted. A claim whose consumer died is
 *   delivered again within `leaseMs`; the handler of a claim that was lost has its signal aborted (GUILD_LEASE_LOST).
 * - `peek` reads the log, newest first, without touching any group. `replay` delivers the log of a time range (both ends included)
 *   again, to one group, and returns how many; what the group still has open is not doubled. An unknown group: GUILD_NOT_FOUND.
 * - `peek`, `replay`, `count` and `trim` take a prefix ending in `*` as well as a topic.
 * - `trim` removes log entries by age, never one that a group has not acknowledged.
 * - A message that no adapter could carry (not JSON, too large, an id with U+0000) rejects with GUILD_MESSAGE_INVALID.
 * - When the store cannot be reached `publish` rejects with a retryable GuildError; `consume` keeps trying with back-off until aborted.
 */
export interface Bus extends AsyncDisposable {
  publish(topic: string, messages: readonly BusMessage[]): Promise<void>
  ensureGroup(subscription: Pick<Subscription, 'topic' | 'group' | 'from'>): Promise<void>
  consume(subscription: Subscription, handle: Handler, signal: AbortSignal): Promise<void>
  peek(topic: string, options: { readonly limit: number; readonly before?: string }): Promise<readonly LoggedMessage[]>
  replay(options: {
    readonly topic: string
    readonly group: string
    readonly from: Date
    readonly to: Date
  }): Promise<number>
  lag(): Promise<readonly GroupLag[]>
  /** @returns messages ever published on the topic that the log still holds */
  count(topic: string): Promise<number>
  trim(topic: string, options: { readonly olderThan: Date }): Promise<number>
  close(): Promise<void>
}

export const bodyBytesMax = 26 * 1024 * 1024
