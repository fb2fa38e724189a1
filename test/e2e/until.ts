import { setTimeout as delay } from 'node:timers/promises'

export interface UntilOptions {
  readonly withinMs?: number
  readonly pollMs?: number
  readonly what: string
}

/** Waits for what `look` finds: anything but false, null and undefined. Rejects after the time, naming what did not come. */
export async function until<T>(
  look: () => T | Promise<T>,
  { withinMs = 30_000, pollMs = 50, what }: UntilOptions,
): Promise<Exclude<T, false | null | undefined>> {
  for (const end = Date.now() + withinMs; ; await delay(pollMs)) {
    const found = await look()
    if (found !== false && found !== null && found !== undefined) return found as Exclude<T, false | null | undefined>
    if (Date.now() > end) throw new Error(`after ${withinMs} ms still not: ${what}`)
  }
}
