/** `?limit=20&type=…` from the options that are set. */
export function query(options: object): string {
  const pairs = Object.entries(options).filter((pair): pair is [string, string] => typeof pair[1] === 'string')
  return pairs.length > 0 ? `?${new URLSearchParams(pairs).toString()}` : ''
}
