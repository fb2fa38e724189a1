import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'

export interface DrainParts {
  /** From now on `/readyz` says 503. */
  readonly leave: () => void
  /** Deliveries are refused, those under way are answered. Resolves when the server is closed. */
  readonly closeHttp: () => Promise<void>
  /** Tells the services to stop: nothing more is claimed, what is in hand settles or is handed back. */
  readonly stop: () => void
  /** Resolves when every service has ended. */
  readonly running: Promise<void> | null
  /** what has not ended yet */
  readonly names: () => readonly string[]
  /** Frees what is left: bus, database. */
  readonly close: () => Promise<void>
}

export interface DrainTimes {
  /** all of it, at most */
  readonly drainMs: number
  /** of it: not ready, and still serving */
  readonly graceMs: number
  /** The probes answer until the services have ended; else the server closes first, because it takes deliveries. */
  readonly probesLast: boolean
}

/**
 * Stops a process in an order that loses nothing: not ready (a load balancer needs a moment to notice) → deliveries end → services end →
 * the stores are closed. Never rejects, and never takes longer than `drainMs`.
 * @returns what had not ended by then, as people call it; empty after a clean stop
 */
export async function drain(
  parts: DrainParts,
  { drainMs, graceMs, probesLast }: DrainTimes,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<readonly string[]> {
  const began = clock.now().getTime()
  const over = new AbortController()
  const deadline = clock.sleep(drainMs, over.signal)
  const open = new Set<string>()
  /** Within what is left of the time; a failure is told, and does not keep the rest from ending. */
  const step = async (name: string, work: Promise<void> | null): Promise<void> => {
    if (work === null) return
    open.add(name)
    const ended = work.then(
      () => void open.delete(name),
      (error: unknown) => {
        open.delete(name)
        log.error({ err: error }, `${name} failed while it was closed`)
      },
    )
    await Promise.race([ended, deadline])
  }
  parts.leave()
  log.info({ drainMs, graceMs }, 'told to stop, draining')
  await clock.sleep(Math.min(graceMs, drainMs))
  const door = probesLast ? null : step('the HTTP server', parts.closeHttp())
  // A sender that never finishes must not leave the services without time.
  if (door) await Promise.race([door, clock.sleep((drainMs - graceMs) / 2, over.signal)])
  parts.stop()
  await step('services', parts.running)
  await door
  if (probesLast) await step('the HTTP server', parts.closeHttp())
  if (open.size === 0) await step('the connections to the stores', parts.close())
  over.abort()
  const left = [...open].flatMap((name) => (name === 'services' ? parts.names() : [name]))
  const ms = clock.now().getTime() - began
  if (left.length === 0) log.info({ ms }, 'stopped')
  else log.error({ ms, left }, 'the time to stop is over')
  return left
}
