import { isGuildError } from '../kernel/errors.ts'

/** What one caller publishes: all of it or nothing. */
export interface Publication {
  readonly messages: number
  readonly bytes: number
}

interface Waiting<Of> {
  readonly publication: Of
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

const messagesMax = 500
const bytesMax = 4 * 1024 * 1024

/**
 * Makes one statement, and one wait for the disk, of the calls that arrive while the statements before are under way. Each caller is
 * told after the commit of its own messages. Where the store refuses a statement for good each call is made again by itself, so that
 * nobody pays for another's message.
 */
export class GatheredPublish<Of extends Publication> {
  readonly #write: (publications: readonly Of[]) => Promise<void>
  /** Statements under way, at most. With one, the store rests while an answer travels; with many, none has company. */
  readonly #underWayMax: number
  readonly #waiting: Waiting<Of>[] = []
  #underWay = 0

  constructor(write: (publications: readonly Of[]) => Promise<void>, underWayMax: number) {
    this.#write = write
    this.#underWayMax = underWayMax
  }

  /** Resolves once durable. */
  publish(publication: Of): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ publication, resolve, reject })
    if (this.#underWay < this.#underWayMax) void this.#work()
    return promise
  }

  /** Never rejects: each caller is told. */
  async #work(): Promise<void> {
    this.#underWay += 1
    for (let group = this.#next(); group.length > 0; group = this.#next()) await this.#store(group)
    this.#underWay -= 1
  }

  /** The oldest first, one at least. */
  #next(): readonly Waiting<Of>[] {
    let [messages, bytes, count] = [0, 0, 0]
    for (const { publication } of this.#waiting) {
      messages += publication.messages
      bytes += publication.bytes
      if (count > 0 && (messages > messagesMax || bytes > bytesMax)) break
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  async #store(group: readonly Waiting<Of>[]): Promise<void> {
    try {
      await this.#write(group.map(({ publication }) => publication))
      for (const { resolve } of group) resolve()
    } catch (error) {
      // A store that cannot be reached, or that is too busy, will not like them better one by one.
      if (group.length === 1 || (isGuildError(error) && error.retryable)) for (const { reject } of group) reject(error)
      else for (const one of group) await this.#store([one])
    }
  }
}
