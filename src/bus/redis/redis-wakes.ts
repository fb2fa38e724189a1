import type { Clock } from '../../kernel/clock.ts'
import { reasonOf } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'

export interface RedisWakesDeps {
  /** @param onGap messages may have passed by */
  readonly listen: (onGroup: (groupId: string) => void, onGap: () => void) => Promise<() => Promise<void>>
  /** Which of the groups have something to claim, or are gone. */
  readonly due: (groupIds: readonly string[]) => Promise<readonly string[]>
  readonly clock: Clock
  readonly log: Log
}

/** A safety net, and how consumers learn that a server has lost its data: nobody wakes a group that is gone. */
const pollMs = 2_000

/** One channel and one poll for all consumers of a process. */
export class RedisWakes {
  readonly #deps: RedisWakesDeps
  readonly #consumers = new Map<string, Set<() => void>>()
  #watch: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined

  constructor(deps: RedisWakesDeps) {
    this.#deps = deps
  }

  add(groupId: string, wake: () => void): () => void {
    const wakes = this.#consumers.get(groupId) ?? new Set()
    this.#consumers.set(groupId, wakes.add(wake))
    if (!this.#watch) {
      const stop = new AbortController()
      this.#watch = { stop, ended: this.#run(stop.signal) }
    }
    return () => {
      wakes.delete(wake)
      if (wakes.size === 0) this.#consumers.delete(groupId)
    }
  }

  wake(groupIds: Iterable<string>): void {
    for (const groupId of groupIds) for (const wake of this.#consumers.get(groupId) ?? []) wake()
  }

  async close(): Promise<void> {
    this.#watch?.stop.abort()
    await this.#watch?.ended
  }

  /** Never rejects. */
  async #run(signal: AbortSignal): Promise<void> {
    const { listen, due, clock, log } = this.#deps
    let stopListening: (() => Promise<void>) | undefined
    let failing = false
    while (!signal.aborted) {
      try {
        stopListening ??= await listen(
          (groupId) => this.wake([groupId]),
          () => this.wake(this.#consumers.keys()),
        )
        const groupIds = [...this.#consumers.keys()]
        if (groupIds.length > 0) this.wake(await due(groupIds))
        failing = false
      } catch (error) {
        if (!failing) log.warn({ why: reasonOf(error) }, 'bus cannot look for due messages')
        failing = true
      }
      await clock.sleep(pollMs, signal)
    }
    try {
      await stopListening?.()
    } catch (error) {
      log.debug({ why: reasonOf(error) }, 'bus listener ended with its connection')
    }
  }
}
