import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { GuildError } from '../kernel/errors.ts'
import { sqlState } from './database.ts'

const retriesMax = 5
const conflicts: ReadonlySet<string | undefined> = new Set(['40001', '40P01'])

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
   * Calls `attempt` until it succeeds or fails with something else than a conflict. `ensureOpen` throws once the attempt is over:
   * a query on a `tx` that outlived its transaction would run in somebody else's.
   */
  async run<T>(attempt: (ensureOpen: () => void) => Promise<T>): Promise<T> {
    for (let retries = 0; ; retries += 1) {
      const state = { open: true }
      try {
        return await this.#open.run(state, () =>
          attempt(() => {
            if (!state.open) throw new GuildError('GUILD_INTERNAL', { why: 'a query on a transaction that is over' })
          }),
        )
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
