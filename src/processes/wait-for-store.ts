import { sqlState } from '../database/database.ts'
import { backoffMs } from '../kernel/backoff.ts'
import { type Clock, systemClock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'

export interface Patience {
  /** how long to go on trying; 0: once */
  readonly waitMs: number
  readonly signal?: AbortSignal
  readonly log: Log
  readonly clock?: Clock
}

const between = { baseMs: 250, maxMs: 5_000 }

/**
 * Opens a store, and tries again while nobody answers there yet: on a new host the database and its clients start together, and a
 * process that ended at once would be started again and again, ever more slowly. What time does not heal (a wrong password, no such
 * database, a schema that is behind) is thrown at once.
 * @param what for the log: `database`, `bus`
 * @throws what `open` throws
 */
export async function openWhenUp<T>(what: string, open: () => Promise<T>, patience: Patience): Promise<T> {
  const { waitMs, signal, log, clock = systemClock } = patience
  const giveUpAt = clock.now().getTime() + waitMs
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await open()
    } catch (error) {
      const leftMs = giveUpAt - clock.now().getTime()
      if (leftMs <= 0 || signal?.aborted || !isNotUpYet(error)) throw error
      const delayMs = Math.min(leftMs, backoffMs(attempt, between, Math.random()))
      log.warn({ attempt, why: reasonOf(error), leftMs }, `${what} is not up yet, waiting for it`)
      await clock.sleep(delayMs, signal)
      if (signal?.aborted) throw error
    }
  }
}

// https://nodejs.org/api/errors.html#common-system-errors: nobody listens, the name is not known yet, or the way there is not open.
const unreachable = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ENOENT', // a socket file that is not there yet
])
// 08 connection exception, 53300 too many connections, 57P01–57P03 shutting down, crashed, starting up
const starting = /^(08...|53300|57P0[123])$/
/** What the drivers say without a code when a connection ended while it was being made. */
const cutOff = /connection terminated|timeout|socket closed|LOADING/i

/** Would the same attempt succeed later, with nothing changed but the time? */
export function isNotUpYet(error: unknown): boolean {
  const state = sqlState(error)
  if (state !== undefined) return starting.test(state)
  const causes = causesOf(error)
  if (causes.some((cause) => unreachable.has(codeOf(cause)))) return true
  const root = causes.at(-1)
  return root instanceof Error && codeOf(root) === '' && cutOff.test(root.message)
}

function causesOf(error: unknown): readonly unknown[] {
  const chain: unknown[] = []
  for (let one = error; one instanceof Error && chain.length < 6; one = one.cause) chain.push(one)
  return chain
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
