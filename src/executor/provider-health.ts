import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { type Breaker, admission, afterFailure, closedBreaker } from '../kernel/breaker.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Blocked } from './model-choice.ts'
import { free } from './run-context.ts'

const sql = statements(import.meta.url, './provider-health.sql', [
  'troubled',
  'startTrial',
  'endTrial',
  'pause',
  'lockBreaker',
  'storeBreaker',
])

/** Longer than one model call may last (180 s): then its trial counts as lost. */
const trialMs = 200_000
/** What a provider may ask of all runs at once with one header. */
const pauseMsMax = 3_600_000
/** How old the shared state may be that a call is decided on. */
const knownMs = 1_000

interface Known {
  readonly breaker: Breaker
  readonly nextAt: Date | null
  readonly error: string | null
}

export interface ProviderHealthDeps {
  readonly database: Database
  readonly clock: Clock
  /** first part of the rows' names, `provider` */
  readonly family?: string
}

/**
 * Which model providers may be called now, as all processes know it: the breaker of each, and the time before which one that limits the
 * rate must not be asked again (`retry-after`). Read at most once a second, written only when a provider fails or comes back.
 */
export class ProviderHealth {
  readonly #database: Database
  readonly #clock: Clock
  readonly #family: string
  #known: ReadonlyMap<string, Known> = new Map()
  #readAt = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | null = null

  constructor({ database, clock, family = 'provider' }: ProviderHealthDeps) {
    this.#database = database
    this.#clock = clock
    this.#family = family
  }

  /** Those of the providers that are not to be called now. One of a half open breaker is left out: see `enter`. */
  async blocked(providers: readonly string[]): Promise<ReadonlyMap<string, Blocked>> {
    if (providers.every(free)) return new Map()
    await this.#refresh()
    const now = this.#clock.now()
    return new Map(
      providers.flatMap((provider): [string, Blocked][] => {
        const known = this.#known.get(this.#name(provider))
        const block = known && blockOf(provider, known, now)
        return block ? [[provider, block]] : []
      }),
    )
  }

  /** Takes the one trial where the breaker asks for it. @returns null: go on; else another call has it */
  async enter(provider: string): Promise<Blocked | null> {
    const name = this.#name(provider)
    const known = this.#known.get(name)
    const now = this.#clock.now()
    if (free(provider) || !known) return null
    const admitted = admission(known.breaker, now)
    // Another call has been let in since `blocked` was asked.
    if (admitted.kind === 'wait') return blockOf(provider, known, now)
    if (admitted.kind === 'go') return null
    const until = new Date(now.getTime() + trialMs)
    const { count } = await this.#database.query(sql.startTrial, [name, now, until])
    this.forget()
    return count > 0
      ? null
      : { until: new Date(now.getTime() + knownMs), why: `${provider} is being tried`, open: true }
  }

  /** The trial was not made after all. */
  async leave(provider: string): Promise<void> {
    if (!this.#troubled(provider)) return
    await this.#database.query(sql.endTrial, [this.#name(provider), this.#clock.now()])
    this.forget()
  }

  /** It answered: no statement, unless it was in trouble before. In the transaction that stores the answer. */
  async succeeded(tx: Queryable, provider: string): Promise<void> {
    if (!this.#troubled(provider)) return
    await this.#store(tx, this.#name(provider), closedBreaker, null)
  }

  /**
   * It failed: one failure more towards the breaker, or, where it only limits the rate and says until when, a pause for all.
   * @returns the breaker if this failure opened it
   */
  async failed(tx: Queryable, provider: string, why: string, retryAfterMs?: number): Promise<Breaker | null> {
    const name = this.#name(provider)
    const now = this.#clock.now()
    if (retryAfterMs !== undefined && retryAfterMs > 0) {
      await tx.query(sql.pause, [name, new Date(now.getTime() + Math.min(retryAfterMs, pauseMsMax)), why, now])
      if (this.#troubled(provider)) await this.#store(tx, name, closedBreaker, why)
      this.forget()
      return null
    }
    const { rows } = await tx.query<BreakerRow>(sql.lockBreaker, [name])
    const before = rows[0] ? breakerOf(rows[0]) : closedBreaker
    const after = afterFailure(before, now)
    await this.#store(tx, name, after, why)
    return after.state === 'OPEN' && before.state !== 'OPEN' ? after : null
  }

  /** What is remembered is read anew with the next call. */
  forget(): void {
    this.#readAt = Number.NEGATIVE_INFINITY
  }

  async #store(tx: Queryable, name: string, breaker: Breaker, error: string | null): Promise<void> {
    const { state, failures, since, openings, retryAt } = breaker
    const now = this.#clock.now()
    await tx.query(sql.storeBreaker, [name, state, failures, since, openings, retryAt, error, now])
    this.forget()
  }

  #troubled(provider: string): boolean {
    const breaker = this.#known.get(this.#name(provider))?.breaker
    return breaker !== undefined && (breaker.state !== 'CLOSED' || breaker.failures > 0)
  }

  async #refresh(): Promise<void> {
    if (this.#clock.now().getTime() - this.#readAt < knownMs) return
    // Many runs ask at the same moment: one statement for all of them.
    this.#reading ??= this.#read().finally(() => (this.#reading = null))
    await this.#reading
  }

  async #read(): Promise<void> {
    const now = this.#clock.now()
    const { rows } = await this.#database.query<BreakerRow>(sql.troubled, [this.#family, now])
    this.#known = new Map(
      rows.map((row) => [row.name, { breaker: breakerOf(row), nextAt: row.next_at, error: row.last_error }]),
    )
    this.#readAt = now.getTime()
  }

  #name(provider: string): string {
    return `${this.#family}:${provider}`
  }
}

interface BreakerRow extends Omit<Breaker, 'retryAt'> {
  readonly name: string
  readonly retry_at: Date | null
  readonly next_at: Date | null
  readonly last_error: string | null
}

function breakerOf({ state, failures, since, openings, retry_at }: BreakerRow): Breaker {
  return { state, failures, since, openings, retryAt: retry_at }
}

function blockOf(provider: string, { breaker, nextAt, error }: Known, now: Date): Blocked | null {
  const admitted = admission(breaker, now)
  const because = error ? `: ${error}` : ''
  if (admitted.kind === 'wait') {
    return { until: admitted.until, why: `${provider} is cut off after failures${because}`, open: true }
  }
  if (!nextAt || nextAt <= now) return null
  return { until: nextAt, why: `${provider} limits the rate${because}`, open: false }
}
