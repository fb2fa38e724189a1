import { uptime } from 'node:os'

export interface TimeSources {
  /** ms since 1970, as whoever keeps the machine's clock likes it */
  readonly wall: () => number
  /** ms, never set back; stands still while the machine sleeps */
  readonly monotonic: () => number
  /** ms since the machine was started, its sleep included; coarse and dearer to ask */
  readonly uptime: () => number
}

export const machineTime: TimeSources = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  uptime: () => uptime() * 1_000,
}

/** less than that is how clocks are corrected every day */
const jumpMs = 1_000

/**
 * Time that passes as it should, whatever happens to the machine's clock: leases, waits and time limits of this process neither lapse nor
 * stand still because somebody sets it. A jump that lasts is followed after `followMs`; the sleep of the machine at once.
 */
export class SteadyTime {
  readonly #sources: TimeSources
  readonly #followMs: number
  #anchor: { readonly time: number; readonly wall: number; readonly monotonic: number; readonly uptime: number }
  /** monotonic time when the machine's clock was first seen elsewhere; null: it is where it should be */
  #astraySince: number | null = null

  /** @param followMs default: never */
  constructor(options: { readonly followMs?: number; readonly sources?: TimeSources } = {}) {
    this.#sources = options.sources ?? machineTime
    this.#followMs = options.followMs ?? Number.POSITIVE_INFINITY
    this.#anchor = this.#take(this.#sources.wall())
  }

  /** ms since 1970 */
  now(): number {
    const monotonic = this.#sources.monotonic()
    const { time, wall, monotonic: before } = this.#anchor
    const passed = monotonic - before
    if (Math.abs(this.#sources.wall() - wall - passed) <= jumpMs) {
      this.#astraySince = null
      return time + passed
    }
    return this.#astray(monotonic, passed)
  }

  /** Set to what somebody else knows better, such as the database. */
  set(time: number): void {
    this.#astraySince = null
    this.#anchor = this.#take(time)
  }

  /** Set, or asleep? Only the uptime knows. */
  #astray(monotonic: number, passed: number): number {
    const awake = this.#sources.uptime() - this.#anchor.uptime
    if (awake - passed > jumpMs) {
      this.set(this.#anchor.time + awake)
      return this.#anchor.time
    }
    this.#astraySince ??= monotonic
    if (monotonic - this.#astraySince < this.#followMs) return this.#anchor.time + passed
    this.set(this.#sources.wall())
    return this.#anchor.time
  }

  #take(time: number) {
    const { wall, monotonic, uptime: up } = this.#sources
    return { time, wall: wall(), monotonic: monotonic(), uptime: up() }
  }
}
