import type { Delivery } from './bus.ts'

/** A message one consumer holds until `due`; `handle` is the adapter's own proof that it is this claim, not a later one. */
export interface Claim<Handle = unknown> {
  readonly handle: Handle
  readonly delivery: Omit<Delivery, 'body'>
  /** JSON, parsed only after the attempt has been counted */
  readonly body: string
}

export type Outcome<Handle = unknown> = { readonly claim: Claim<Handle> } & (
  | { readonly kind: 'ack' }
  /** never begun: no attempt counted */
  | { readonly kind: 'release' }
  | { readonly kind: 'return'; readonly delayMs: number; readonly reason: string }
  | { readonly kind: 'dead'; readonly reason: string }
)

export interface Claimed<Handle = unknown> {
  readonly claims: readonly Claim<Handle>[]
  /** When to look again without being woken; 0: at once, null: not before a wake. */
  readonly nextDueMs: number | null
}

export interface Settled {
  /** Claims that had been lost count as not settled. */
  readonly settled: number
  /** Messages that may be claimed now because of it. */
  readonly ready: number
}

/** What an adapter knows of one group on one store. `ConsumerLoop` makes a consumer of it, alike for every adapter. */
export interface ClaimStore<Handle = unknown> {
  /** At most `max`, the best rank first, one of each key. Counts the attempt. */
  claim(max: number): Promise<Claimed<Handle>>
  /** Holds for another lease. @returns those that had been lost */
  extend(claims: readonly Claim<Handle>[]): Promise<readonly Claim<Handle>[]>
  /** @param leaving tells other consumers what became ready, for this one will not take it */
  settle(outcomes: readonly Outcome<Handle>[], leaving: boolean): Promise<Settled>
  /** Both, in this order, for a consumer that stays. */
  settleAndClaim(outcomes: readonly Outcome<Handle>[], max: number): Promise<Settled & Claimed<Handle>>
  /** Calls back whenever there may be something to claim. @returns stops */
  onWake(wake: () => void): () => void
}
