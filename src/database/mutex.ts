/** One at a time, in the order of arrival. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve()

  run<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(task)
    // The next one waits for the end of this one, not for its success; the failure belongs to the caller of `run`.
    this.#tail = turn.then(
      () => undefined,
      () => undefined,
    )
    return turn
  }
}
