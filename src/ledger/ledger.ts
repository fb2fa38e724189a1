import type { Queryable } from '../database/database.ts'
import type { LlmUsage } from '../llm/llm.ts'

/** One limit that a call must fit in; the chain is organisation → chapter → agent → run, each with its periods. */
export interface BudgetLimit {
  readonly entityType: 'organization' | 'chapter' | 'agent' | 'run'
  readonly entityId: string
  readonly kind: 'hour' | 'day' | 'month' | 'run'
  readonly tokens: number | null
  readonly costMicros: number | null
}

export interface ReserveRequest {
  readonly invocationId: string
  readonly stepSeq: number
  readonly attempt: number
  readonly leaseEpoch: number
  readonly owner: string
  /** worst case: input bound + maxOutputTokens */
  readonly tokens: number
  readonly costMicros: number
  readonly limits: readonly BudgetLimit[]
  readonly at: Date
  readonly expiresAt: Date
}

export type Reservation =
  | { readonly kind: 'reserved'; readonly id: string; readonly budgetIds: readonly string[] }
  | {
      readonly kind: 'refused'
      readonly limit: BudgetLimit
      readonly dimension: 'tokens' | 'cost'
      readonly left: number
      readonly need: number
    }

export interface UsageRecord {
  readonly reservationId: string
  readonly agentId: string
  readonly chapter: string | null
  readonly eventId: string
  readonly provider: string
  readonly model: string
  readonly priceVersion: string | null
  readonly usage: LlmUsage
  readonly costMicros: number
  /** true: the call was lost in a crash and its input is charged by estimate */
  readonly estimated: boolean
  readonly at: Date
}

/**
 * Law 4: reserve before you spend. Every method runs in the caller's transaction. Budget rows are locked in one fixed order
 * (organisation, chapter, agent, run; then hour, day, month; then id), so two reservations never deadlock. Invariants, checked by
 * `verifyLedger`: consumed = sum of usage; reserved = sum of OPEN reservations; consumed + reserved ≤ limit at reservation time.
 * Settling more than was reserved is recorded in full (the ledger never under-counts).
 */
export interface Ledger {
  reserve(tx: Queryable, request: ReserveRequest): Promise<Reservation>
  /** Stores usage and turns the reservation into consumption. A second call for the same reservation changes nothing. */
  settle(tx: Queryable, record: UsageRecord): Promise<void>
  /** The call was never sent, or refused before any work: gives the reservation back. */
  release(tx: Queryable, reservationId: string): Promise<void>
}
