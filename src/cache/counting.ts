import { randomUUID } from 'node:crypto'
import { assertNever } from '../kernel/assert-never.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { checkKey, checkTtl } from './cache-rules.ts'
import { type Counted, type CountedWrite, type Counter, holdMs } from './cache.ts'

/**
 * The four moves of a counter, each atomic in its store. What is stored: the count, or nothing; the operations under way, each with
 * an end; while it is rebuilt, whose turn that is (`ticket`) and what has been added since.
 */
export interface CounterStore {
  /**
   * Drops operations past their end, and the count with them: nobody knows what became of their rows. Then, with a count: the operation
   * `id` (null: just reading) is under way. Without one: the turn to rebuild goes to `ticket`, unless another has it.
   */
  open(key: string, id: string | null, ticket: string): Promise<Opened>
  /** Ends a rebuild: the count is `count` and what was added since; null gives the turn back. @returns false when the turn was lost */
  fill(key: string, ticket: string, count: number | null, ttlMs: number): Promise<boolean>
  /**
   * Ends an operation. Known: `added` is added (to the count, or to what the rebuild in progress will give: that one has left out
   * this id). Unknown, after a flush or too late, and `null`, not known how many: the count is dropped, and a rebuild in progress
   * with it, since its rows may be in it or not.
   * @returns the count; null: none
   */
  settle(key: string, id: string, added: number | null): Promise<number | null>
}

export type Opened =
  | { readonly kind: 'open'; readonly count: number }
  | { readonly kind: 'rebuild'; readonly except: readonly string[] }
  /** another rebuilds it, or too many operations are under way */
  | { readonly kind: 'wait' }

/** A rebuild that takes longer has lost its turn. */
export const rebuildMs = 15_000
const patienceMs = 20_000
const pauseMs = { first: 5, max: 200 }

/**
 * Why it is exact: an operation is announced before its rows are written, only while there is a count, and a rebuild leaves out the rows of
 * whatever is announced. So no row of a known operation is in the count before its end adds it. Rows of an unknown one are
 * committed by the time it ends, so counting anew finds them.
 */
export class Counting {
  readonly #store: CounterStore
  readonly #clock: Clock
  readonly #log: Log

  constructor(store: CounterStore, clock: Clock, log: Log) {
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  async count(counter: Counter): Promise<number> {
    return this.#open(counter, null)
  }

  async counted<T>(counter: Counter, id: string, write: CountedWrite<T>): Promise<Counted<T>> {
    checkKey(id)
    const before = await this.#open(counter, id)
    const limit = AbortSignal.timeout(holdMs)
    let written: { readonly added: number | null; readonly result: T }
    try {
      written = await write(before, limit)
    } catch (error) {
      // A commit whose answer was lost looks like a failure: only the rows know.
      await this.#settle(counter.key, id, null)
      throw error
    }
    return { result: written.result, count: await this.#settle(counter.key, id, written.added) }
  }

  /** The rows are written; a store that is away now must not undo that in the eyes of the caller. */
  async #settle(key: string, id: string, added: number | null): Promise<number | null> {
    try {
      return await this.#store.settle(key, id, added)
    } catch (error) {
      this.#log.warn({ key, reason: reasonOf(error) }, 'a counter could not be told; it will be rebuilt')
      return null
    }
  }

  async #rebuild({ key, ttlMs, rebuild }: Counter, ticket: string, except: readonly string[]): Promise<number> {
    try {
      return await rebuild(except)
    } catch (error) {
      // The rows could not be asked; whoever comes next should not have to wait for the end of this turn.
      await this.#store.fill(key, ticket, null, ttlMs).catch(() => false)
      throw error
    }
  }

  async #open(counter: Counter, id: string | null): Promise<number> {
    const { key, ttlMs } = counter
    checkKey(key)
    checkTtl(key, ttlMs)
    const until = performance.now() + patienceMs
    for (let waitMs = pauseMs.first; performance.now() < until;) {
      const ticket = randomUUID()
      const opened = await this.#store.open(key, id, ticket)
      switch (opened.kind) {
        case 'open':
          return opened.count
        case 'rebuild': {
          const count = await this.#rebuild(counter, ticket, opened.except)
          const filled = await this.#store.fill(key, ticket, count, ttlMs)
          // Just reading: what the rows said is an answer, whether or not the next one may keep it.
          if (id === null && filled) return count
          break
        }
        case 'wait':
          await this.#clock.sleep(waitMs)
          waitMs = Math.min(waitMs * 2, pauseMs.max)
          break
        default:
          assertNever(opened)
      }
    }
    const why = `the counter ${key} was not ready within ${patienceMs} ms`
    throw new GuildError('GUILD_CACHE_UNAVAILABLE', { why })
  }
}
