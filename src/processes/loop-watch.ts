import { performance } from 'node:perf_hooks'

const everyMs = 1_000
/** Long enough for a collection of a full heap on a busy machine; a process that stands longer holds leases it cannot extend. */
const stuckMsMin = 5_000
/** After a standstill the process finds out first what it has lost meanwhile. */
const rememberMs = 10_000

/**
 * Looks once a second whether this process came to look in time: it finds work that does not give way, and a machine (or a person, with
 * SIGSTOP) that does not let it run.
 */
export class LoopWatch implements Disposable {
  readonly #timer: NodeJS.Timeout
  readonly #now: () => number
  #expectedAt: number
  #worst = { lateMs: 0, atMs: -Infinity }

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#expectedAt = now() + everyMs
    this.#timer = setInterval(() => this.look(), everyMs)
    this.#timer.unref()
  }

  /** How long it stood still within the last 10 s; 0 when less than 5 s. */
  stuckMs(): number {
    this.look()
    const recent = this.#now() - this.#worst.atMs <= rememberMs
    return recent && this.#worst.lateMs >= stuckMsMin ? Math.round(this.#worst.lateMs) : 0
  }

  look(): void {
    const now = this.#now()
    const lateMs = now - this.#expectedAt
    if (lateMs < 0) return
    const forgotten = now - this.#worst.atMs > rememberMs
    if (forgotten || lateMs >= this.#worst.lateMs) this.#worst = { lateMs, atMs: now }
    this.#expectedAt = now + everyMs
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
