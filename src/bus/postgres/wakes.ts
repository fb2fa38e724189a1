import { randomBytes } from 'node:crypto'
import type { Clock } from '../../kernel/clock.ts'
import { reasonOf } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'

export interface WakesDeps {
  readonly listen: (onNotify: (payload: string) => void) => Promise<() => Promise<void>>
  /** Which of the groups have something to claim. */
  readonly due: (groups: readonly number[]) => Promise<readonly number[]>
  /** Tells the consumers of other processes. @param sender begins what they are told */
  readonly notify: (groups: readonly number[], sender: string) => Promise<void>
  readonly clock: Clock
  readonly log: Log
}

const channelGroups = /\d+/g
/** A safety net only: publishing notifies, and a consumer knows when its next delayed message is due. */
const pollMs = 2_000

/** One LISTEN and one poll for all consumers of a process. */
export class Wakes {
  readonly #deps: WakesDeps
  readonly #consumers = new Map<number, Set<() => void>>()
  /** In letters, for who listens looks for numbers. What is told comes back to who told it, whose consumers know by then. */
  readonly #sender = randomBytes(12)
    .toString('hex')
    .replace(/\d/g, (digit) => String.fromCharCode(103 + Number(digit)))
  /** groups to tell other processes about, and the telling that is under way */
  readonly #untold = new Set<number>()
  #telling: Promise<void> | undefined
  #watch: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined

  constructor(deps: WakesDeps) {
    this.#deps = deps
  }

  add(group: number, wake: () => void): () => void {
    const wakes = this.#consumers.get(group) ?? new Set()
    this.#consumers.set(group, wakes.add(wake))
    if (!this.#watch) {
      const stop = new AbortController()
      this.#watch = { stop, ended: this.#run(stop.signal) }
    }
    return () => {
      wakes.delete(wake)
      if (wakes.size === 0) this.#consumers.delete(group)
    }
  }

  wake(groups: Iterable<number>): void {
    for (const group of groups) for (const wake of this.#consumers.get(group) ?? []) wake()
  }

  /**
   * Wakes the consumers of this process, and has those of others told: one statement at a time for whatever has come meanwhile. Should
   * it fail, their poll finds what there is.
   */
  announce(groups: readonly number[]): void {
    this.wake(groups)
    for (const group of groups) this.#untold.add(group)
    if (this.#untold.size > 0) this.#telling ??= this.#tell()
  }

  async close(): Promise<void> {
    this.#watch?.stop.abort()
    await this.#watch?.ended
    await this.#telling
  }

  /** Never rejects. */
  async #tell(): Promise<void> {
    while (this.#untold.size > 0) {
      const groups = [...this.#untold]
      this.#untold.clear()
      try {
        await this.#deps.notify(groups, this.#sender)
      } catch (error) {
        this.#deps.log.debug({ why: reasonOf(error) }, 'other processes not woken')
      }
    }
    this.#telling = undefined
  }

  /** Never rejects. */
  async #run(signal: AbortSignal): Promise<void> {
    let stopListening: (() => Promise<void>) | undefined
    let failing = false
    while (!signal.aborted) {
      try {
        stopListening ??= await this.#deps.listen((payload) => this.#notified(payload))
        const groups = [...this.#consumers.keys()]
        if (groups.length > 0) this.wake(await this.#deps.due(groups))
        failing = false
      } catch (error) {
        if (!failing) this.#deps.log.warn({ why: reasonOf(error) }, 'bus cannot look for due messages')
        failing = true
      }
      await this.#deps.clock.sleep(pollMs, signal)
    }
    try {
      await stopListening?.()
    } catch (error) {
      this.#deps.log.debug({ why: reasonOf(error) }, 'bus listener ended with its connection')
    }
  }

  #notified(payload: string): void {
    if (payload.startsWith(this.#sender)) return
    if (payload === '') this.wake([...this.#consumers.keys()])
    else this.wake((payload.match(channelGroups) ?? []).map(Number))
  }
}
