import { GuildError, reasonOf } from '../kernel/errors.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { Journal } from './journal.ts'

export interface HeldLease extends AsyncDisposable {
  /** Aborts with GUILD_LEASE_LOST when the lease is no longer ours. */
  readonly lost: AbortSignal
}

/**
 * Extends the lease three times per period, by a timer of its own: a slow step is not a dead worker. A heartbeat that finds another
 * epoch, or cannot be written for a whole period, ends the run here; the journal would refuse its writes anyway.
 */
export function holdLease(journal: Journal, deps: { clock: Clock; log: Log; leaseMs: number }): HeldLease {
  const { clock, log, leaseMs } = deps
  const { id, trace_id: traceId } = journal.invocation
  const lost = new AbortController()
  const stop = new AbortController()

  async function beat(): Promise<void> {
    let heldUntil = clock.now().getTime() + leaseMs
    for (;;) {
      await clock.sleep(leaseMs / 3, stop.signal)
      if (stop.signal.aborted) return
      const asked = clock.now().getTime()
      try {
        if (!(await journal.beat(leaseMs))) break
        heldUntil = asked + leaseMs
      } catch (error) {
        log.warn({ invocationId: id, traceId, why: reasonOf(error) }, 'heartbeat failed')
        if (clock.now().getTime() > heldUntil) break
      }
    }
    if (!stop.signal.aborted) lost.abort(new GuildError('GUILD_LEASE_LOST', { id }))
  }

  const beating = beat()
  return {
    lost: lost.signal,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await beating
    },
  }
}
