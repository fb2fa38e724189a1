/** `640 B`, `2.1 KB` of UTF-8. */
export function bytes(text: string): string {
  return size(Buffer.byteLength(text))
}

export function size(count: number): string {
  return count < 1_000 ? `${count} B` : `${(count / 1_000).toFixed(1)} KB`
}

/** `repo: acme/shop, number: 7, body: "Welcome …"` */
export function argumentsOf(args: unknown, lengthMax: number): string {
  if (typeof args !== 'object' || args === null) return args === undefined ? '' : JSON.stringify(args)
  const pairs = Object.entries(args).map(
    ([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const text = pairs.join(', ').replaceAll(/\s+/g, ' ')
  return text.length > lengthMax ? `${text.slice(0, lengthMax - 1).toWellFormed()}…` : text
}
