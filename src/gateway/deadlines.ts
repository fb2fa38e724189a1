/** One wait that has a limit. */
export interface Deadline {
  /** Over in time: nobody is told. */
  met(): void
}

interface Open extends Deadline {
  readonly dueAt: number
  readonly onMissed: () => void
}

/**
 * Many waits with the same limit, under one timer: who comes first is due first, and nearly all are met long before. The timer keeps no
 * process alive: whoever waits has a connection that does.
 */
export class Deadlines {
  readonly #limitMs: number
  /** in the order in which they fall due */
  readonly #open = new Set<Open>()
  #looking = false

  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  /** @param onMissed called once, not before the limit, unless it was met */
  open(onMissed: () => void): Deadline {
    const deadline: Open = {
      dueAt: performance.now() + this.#limitMs,
      onMissed,
      met: () => void this.#open.delete(deadline),
    }
    this.#open.add(deadline)
    if (!this.#looking) this.#lookIn(this.#limitMs)
    return deadline
  }

  #lookIn(ms: number): void {
    this.#looking = true
    setTimeout(() => this.#look(), Math.max(1, Math.ceil(ms))).unref()
  }

  #look(): void {
    this.#looking = false
    const now = performance.now()
    for (const deadline of this.#open) {
      if (deadline.dueAt > now) {
        // Whoever was told may have opened another, which is looked for already.
        if (!this.#looking) this.#lookIn(deadline.dueAt - now)
        return
      }
      this.#open.delete(deadline)
      deadline.onMissed()
    }
  }
}
