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

/**
 * A secret for a header is one line: `fetch` refuses others with a message that quotes them, which would end in rows, logs and prompts.
 */
export function isOneLine(secret: string): boolean {
  // oxlint-disable-next-line no-control-regex -- these are what it is about
  return !/[\u0000-\u001f\u007f]/.test(secret)
}
