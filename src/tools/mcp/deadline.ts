/** The limit of one call, kept by us: the SDK reports an abort and a timeout with the same code. */
export class Deadline implements Disposable {
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout
  #passed = false
  /** aborts with the caller's signal, or when the time is up */
  readonly signal: AbortSignal

  constructor(signal: AbortSignal, timeoutMs: number) {
    this.#timer = setTimeout(() => {
      this.#passed = true
      this.#controller.abort(new Error(`no answer within ${timeoutMs} ms`))
    }, timeoutMs)
    this.signal = AbortSignal.any([signal, this.#controller.signal])
  }

  get passed(): boolean {
    return this.#passed
  }

  /** The work's outcome, or a rejection as soon as the limit passes; what the work does later is ignored. */
  async race<T>(work: Promise<T>): Promise<T> {
    const cut = Promise.withResolvers<never>()
    const abort = (): void => cut.reject(this.signal.reason)
    if (this.signal.aborted) abort()
    else this.signal.addEventListener('abort', abort, { once: true })
    try {
      return await Promise.race([work, cut.promise])
    } finally {
      this.signal.removeEventListener('abort', abort)
      cut.promise.catch(() => undefined)
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
  }
}
