import { setTimeout as delay } from 'node:timers/promises'

/** Polls until `look` says yes. @returns false: it did not within the time */
export async function waitFor(look: () => boolean | Promise<boolean>, withinMs: number, pollMs = 50): Promise<boolean> {
  for (const end = performance.now() + withinMs; ; await delay(pollMs)) {
    if (await look()) return true
    if (performance.now() > end) return false
  }
}

/** As `waitFor`, for what must come. @throws naming what did not */
export async function must(look: () => boolean | Promise<boolean>, withinMs: number, what: string): Promise<void> {
  if (!(await waitFor(look, withinMs))) throw new Error(`after ${Math.round(withinMs / 1_000)} s still not: ${what}`)
}
