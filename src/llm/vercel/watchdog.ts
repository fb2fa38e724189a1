export interface WatchdogLimits {
  readonly idleMs: number
  readonly totalMs: number
  readonly signal: AbortSignal
}

/**
 * Cuts a stream off when nothing arrives for `idleMs`, or when it has not ended after `totalMs`. Our own timers, because the SDK
 * reports an abort and a timeout alike.
 */
export class Watchdog implements Disposable {
  readonly #controller = new AbortController()
  readonly #idleMs: number
  readonly #idle: NodeJS.Timeout
  readonly #total: NodeJS.Timeout
  #expired: string | null = null
  /** aborts with the caller's signal or with a limit */
  readonly signal: AbortSignal

  constructor({ idleMs, totalMs, signal }: WatchdogLimits) {
    this.#idleMs = idleMs
    this.#idle = setTimeout(() => this.#expire(`nothing came for ${this.#idleMs} ms`), idleMs)
    this.#total = setTimeout(() => this.#expire(`no end after ${totalMs} ms`), totalMs)
    this.signal = AbortSignal.any([signal, this.#controller.signal])
  }

  /** which limit was passed, in words; null: none */
  get expired(): string | null {
    return this.#expired
  }

  /** Bytes arrived. */
  alive(): void {
    this.#idle.refresh()
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#idle)
    clearTimeout(this.#total)
    // Whatever the SDK still holds open ends with the call.
    this.#controller.abort()
  }

  #expire(why: string): void {
    this.#expired ??= why
    this.#controller.abort()
  }
}
