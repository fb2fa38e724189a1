/** One write that reached the sandbox, whatever came of it. */
export interface ReceivedWrite {
  readonly seq: number
  readonly at: string
  readonly method: string
  readonly path: string
  /** null: no valid token */
  readonly login: string | null
  readonly body: unknown
  /** 0: nothing was answered */
  readonly status: number
  /** the failure that was asked for, if one struck */
  readonly fault: string | null
}

const keptMax = 5_000

/** The newest writes; the count goes on. */
export class Received {
  #writes: ReceivedWrite[] = []
  #count = 0

  get count(): number {
    return this.#count
  }

  add(write: Omit<ReceivedWrite, 'seq'>): void {
    this.#count += 1
    this.#writes.push({ seq: this.#count, ...write })
    if (this.#writes.length > keptMax) this.#writes.shift()
  }

  /** oldest first */
  list(): readonly ReceivedWrite[] {
    return [...this.#writes]
  }
}
