import type { Actor, Priority, Subject } from '../kernel/event.ts'
import type { JsonObject } from '../kernel/json.ts'
import type { Secret } from '../kernel/secret.ts'

/** Lower-case names, as Node gives them: a header sent twice arrives as one text joined with `, `. */
export type Headers = Readonly<Record<string, string | undefined>>

/** What the sender really sent; signatures cover these bytes, so nothing may touch them before `verify`. */
export interface RawDelivery {
  readonly headers: Headers
  readonly body: Uint8Array
}

/** One connection to a sender. Comes from settings and the Codex, never from the request. */
export interface ConnectorConfig {
  /** name in the Codex; the source's own name for the one made from environment variables */
  readonly name: string
  /** the chapter that owns a scope (GitHub: `owner/name`); null: nobody's, or the delivery names no scope */
  chapter(scope: string | null): string | null
  /** All are tried. None, or only empty ones: nothing is accepted. */
  readonly secrets: readonly Secret[]
  /** our own accounts there: what they do comes back as an echo */
  readonly botLogins: readonly string[]
  /** what the operator sets to give it a secret; default: the source's own setting */
  readonly secretSetting?: string
}

export type Verdict =
  | { readonly kind: 'verified'; /** which of the secrets matched */ readonly keyIndex: number }
  | {
      readonly kind: 'refused'
      readonly code: 'GUILD_SIGNATURE_MISSING' | 'GUILD_SIGNATURE_INVALID' | 'GUILD_SOURCE_SECRET_MISSING'
    }

/** The sender's own event, readable and safe to store: no NUL, no lone surrogate, no leaked secret, bounded depth. */
export interface NativeDelivery {
  readonly deliveryId: string
  /** the sender's name of the event, e.g. `pull_request` */
  readonly event: string
  readonly body: JsonObject
}

export type Parsed =
  | { readonly kind: 'parsed'; readonly native: NativeDelivery }
  /** needs an answer and no event, e.g. GitHub's `ping` */
  | { readonly kind: 'control'; readonly note: string }
  /** lacks what every delivery of this sender has: answered 400 */
  | { readonly kind: 'invalid'; readonly what: string }
  /** authentic, but not readable: answered 2xx and kept as a dead letter, because sending it again cannot mend it */
  | { readonly kind: 'unreadable'; readonly reason: string }

export interface NormaliseContext {
  readonly botLogins: readonly string[]
  readonly receivedAt: Date
}

/** An event before the gateway gives it ids. */
export interface EventDraft {
  readonly type: string
  readonly subject: Subject
  readonly actor: Actor
  readonly priority: Priority
  /** the fact: the same through a second hook, a poll or a redelivery */
  readonly dedupKey: string
  readonly occurredAt: Date
  readonly payload: JsonObject
  readonly correlationId: string | null
  /** what the connector derives the chapter from */
  readonly scope: string | null
  /** sent by one of our own accounts, or carrying our marker */
  readonly self: boolean
  /** `act_…`, a claim until the dispatcher has confirmed it */
  readonly marker: string | null
}

export type Normalised =
  | { readonly kind: 'events'; readonly drafts: readonly EventDraft[] }
  /** The body has not the shape of the event that an unsigned header claims. */
  | { readonly kind: 'misfit'; readonly reason: string }

/** How long the dispatcher must remember what it has seen (facts: edges 1.3). */
export interface ReplayRules {
  /** sender's retry horizon */
  readonly deliveryMs: number
  /** window of the body hash; null where the signature covers a time or an id */
  readonly bodyHashMs: number | null
}

/**
 * A webhook sender. Pure: no clock, no log, no I/O; every function gives the same answer to the same bytes, which is what makes a
 * redelivery the same event. One file per provider in `sources/`.
 */
export interface Source {
  /** the path segment in `/webhooks/{name}` and `event.source` */
  readonly name: string
  /** the sender's own limit; larger bodies are refused unread */
  readonly bodyBytesMax: number
  readonly secretSetting: string
  readonly replay: ReplayRules
  /** headers that may be kept beside a dead letter; never one with a signature or token */
  readonly keptHeaders: readonly string[]
  /** Constant time over the raw bytes; fails closed without a secret. */
  verify(delivery: RawDelivery, secrets: readonly Secret[]): Verdict
  /** Only called on verified deliveries. Never throws for what was sent. */
  parse(delivery: RawDelivery): Parsed
  /** At least one draft: what has no type of its own becomes `unmappedType`. Never throws for what was sent. */
  normalise(native: NativeDelivery, context: NormaliseContext): Normalised
}

/** Stored, counted, and given the disposition UNMAPPED by the dispatcher. */
export const unmappedType = 'SOURCE_EVENT_UNMAPPED'
