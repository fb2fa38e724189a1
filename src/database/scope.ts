import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { GuildError } from '../kernel/errors.ts'
import { sqlState } from './database.ts'

const retriesMax = 5
const conflicts: ReadonlySet<string | undefined> = new Set(['40001', '40P01'])

/** One attempt at a transaction. */
export interface Turn {
  ensureOpen(): void
  end(): void
}

/** What both adapters do around a transaction: refuse nesting, refuse use after the end, retry conflicts. */
export class TransactionScope {
  readonly #open = new AsyncLocalStorage<{ open: boolean }>()

  /** @throws GUILD_DATABASE_NESTED inside the work of an open transaction */
  refuseNested(): void {
    if (this.#open.getStore()?.open) throw new GuildError('GUILD_DATABASE_NESTED')
  }

  /** Runs `callback` later and outside of any transaction; for notifications, which arrive inside somebody's. */
  later(callback: () => void): void {
    this.#open.exit(() => setImmediate(callback))
  }

  /**
   * Calls `attempt` until it succeeds or fails with something else than a conflict. A query on a `tx` that outlived its transaction would
   * run in somebody else's, or in none: `turn.ensureOpen` throws once the attempt is over, and from `turn.end` on, which is for when the
   * work has settled and COMMIT or ROLLBACK is about to leave, ahead of what other parts of the work may still ask for.
   */
  async run<T>(attempt: (turn: Turn) => Promise<T>): Promise<T> {
    for (let retries = 0; ; retries += 1) {
      const state = { open: true }
      let ended = false
      const turn: Turn = {
        ensureOpen() {
          if (!state.open || ended)
            throw new GuildError('GUILD_INTERNAL', { why: 'a query on a transaction that is over' })
        },
        end() {
          ended = true
        },
      }
      try {
        return await this.#open.run(state, () => attempt(turn))
      } catch (error) {
        if (retries === retriesMax || !conflicts.has(sqlState(error))) throw error
        // Two that met will meet again unless they wait unequally long.
        await delay(2 ** retries * (1 + Math.random() * 4))
      } finally {
        state.open = false
      }
    }
  }
}
