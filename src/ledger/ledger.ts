import type { Queryable } from '../database/database.ts'
import type { LlmUsage } from '../llm/llm.ts'

/** One limit that a call must fit in; the chain is organisation → chapter → agent → causal tree → run, each with its periods. */
export interface BudgetLimit {
  readonly entityType: 'organization' | 'chapter' | 'agent' | 'tree' | 'run'
  readonly entityId: string
  readonly kind: 'hour' | 'day' | 'month' | 'tree' | 'run'
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
  /** what must be left in every limit after it: the landing reserve of a normal call; default none */
  readonly headroom?: { readonly tokens: number; readonly costMicros: number }
  /** the worst level whose degradations the call was made with; default: made for all */
  readonly madeFor?: BudgetLevel
  readonly at: Date
  readonly expiresAt: Date
}

export const levelNames = ['green', 'yellow', 'orange', 'red', 'spent'] as const
export type BudgetLevel = (typeof levelNames)[number]

/** The worst level among organisation, chapter and agent, by what is consumed, and the limit that it belongs to. */
export interface Standing {
  readonly level: BudgetLevel
  /** null: none of them has a limit */
  readonly limit: BudgetLimit | null
}

export type Reservation =
  | {
      readonly kind: 'reserved'
      readonly id: string
      readonly budgetIds: readonly string[]
      readonly standing: Standing
    }
  /** A budget has passed into a worse level than the call was made for: nothing is reserved, it is to be made anew. */
  | { readonly kind: 'degraded'; readonly standing: Standing }
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
  /** strict bound of the input, from which tokens per byte are learnt; null: unknown, or nothing to learn from */
  readonly inputBytes?: number | null
  /** in force from 75, 90 and 95 % on, kept with an alert that this call sets off */
  readonly degradations?: Readonly<Record<75 | 90 | 95, readonly string[]>>
  readonly at: Date
}

/** A budget of which a call has passed 75, 90 or 95 %: told once per period and dimension. */
export interface BudgetAlert {
  readonly budgetId: string
  readonly entityType: BudgetLimit['entityType']
  readonly entityId: string
  readonly kind: BudgetLimit['kind']
  readonly threshold: 75 | 90 | 95
  readonly dimension: 'tokens' | 'cost'
  readonly degradations: readonly string[]
}

export interface Settlement {
  readonly alerts: readonly BudgetAlert[]
  /** tokens used above the worst case, as a share of it; 0 in strict mode unless a vendor adds what we did not send */
  readonly estimateError: number
}

/**
 * Law 4: reserve before you spend. Every method runs in the caller's transaction. Budget rows are locked in one fixed order
 * (organisation, chapter, agent, tree, run; then hour, day, month; then id), so two reservations never deadlock. Invariants, checked by
 * `verifyLedger`: consumed = sum of usage; reserved = sum of OPEN reservations; consumed + reserved ≤ limit at reservation time.
 * Settling more than was reserved is recorded in full (the ledger never under-counts).
 */
export interface Ledger {
  reserve(tx: Queryable, request: ReserveRequest): Promise<Reservation>
  /** Stores usage and turns the reservation into consumption. A second call for the same reservation changes nothing. */
  settle(tx: Queryable, record: UsageRecord): Promise<Settlement>
  /** The call was never sent, or refused before any work: gives the reservation back. */
  release(tx: Queryable, reservationId: string): Promise<void>
}
