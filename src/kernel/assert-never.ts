/** The end of an exhaustive switch: the compiler refuses a missing case, and data from outside fails loudly. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected ${JSON.stringify(value)}`)
}
