import { inspect } from 'node:util'

/** A value that logs, JSON and templates cannot show. `reveal()` is the only way in; grep for it to audit the uses. */
export class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  reveal(): string {
    return this.#value
  }
  toString(): string {
    return '[secret]'
  }
  toJSON(): string {
    return '[secret]'
  }
  [inspect.custom](): string {
    return '[secret]'
  }
}
