import type { FastifyReply } from 'fastify'
import type { Clock } from '../kernel/clock.ts'

const hourMs = 3_600_000

/** GitHub's primary limit: so many calls per hour and account, told in every answer. */
export class RateLimit {
  readonly #clock: Clock
  readonly #perHour: number
  readonly #windows = new Map<string, { used: number; resetAt: number }>()
  readonly #takenBy = new WeakMap<object, string>()

  constructor(clock: Clock, perHour: number) {
    this.#clock = clock
    this.#perHour = perHour
  }

  /** Counts one call. @returns whether it was within the limit */
  take(login: string, reply: FastifyReply): boolean {
    const window = this.#window(login)
    const within = window.used < this.#perHour
    if (within) window.used += 1
    this.#takenBy.set(reply, login)
    this.#tell(reply, window)
    return within
  }

  /** An unchanged answer (304) costs nothing. */
  giveBack(reply: FastifyReply): void {
    const login = this.#takenBy.get(reply)
    if (login === undefined) return
    const window = this.#window(login)
    window.used -= 1
    this.#tell(reply, window)
  }

  #window(login: string): { used: number; resetAt: number } {
    const now = this.#clock.now().getTime()
    const found = this.#windows.get(login)
    if (found && found.resetAt > now) return found
    const window = { used: 0, resetAt: now + hourMs }
    this.#windows.set(login, window)
    return window
  }

  #tell(reply: FastifyReply, { used, resetAt }: { used: number; resetAt: number }): void {
    void reply.headers({
      'x-ratelimit-limit': String(this.#perHour),
      'x-ratelimit-remaining': String(this.#perHour - used),
      'x-ratelimit-used': String(used),
      'x-ratelimit-reset': String(Math.ceil(resetAt / 1_000)),
      'x-ratelimit-resource': 'core',
    })
  }
}
