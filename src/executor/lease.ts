import { GuildError, reasonOf } from '../kernel/errors.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { Journal } from './journal.ts'

export interface HeldLease extends AsyncDisposable {
  /** Aborts with GUILD_LEASE_LOST when the lease is no longer ours. */
  readonly lost: AbortSignal
  /**
   * Before whatever costs money: a process that was frozen finds out here, not only when its timers have run. Asks the database
   * only when the lease was not extended in time. @throws GUILD_LEASE_LOST
   */
  check(): Promise<void>
}

const over = 'the run is over'

/**
 * Extends the lease three times per period, by a timer of its own: a slow step is not a dead worker. A heartbeat that finds another
 * epoch, or cannot be written for a whole period, ends the run here; the journal would refuse its writes anyway.
 */
export function holdLease(
  journal: Journal,
  deps: { readonly clock: Clock; readonly log: Log; readonly leaseMs: number; readonly claimedAtMs: number },
): HeldLease {
  const { clock, log, leaseMs, claimedAtMs } = deps
  const { id, trace_id: traceId } = journal.invocation
  const lost = new AbortController()
  const stop = new AbortController()

  // From before the claim was asked for: never later than what the database says.
  let heldUntil = claimedAtMs + leaseMs

  async function beat(): Promise<void> {
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
    async check() {
      lost.signal.throwIfAborted()
      const asked = clock.now().getTime()
      if (asked <= heldUntil) return
      if (!(await journal.beat(leaseMs))) throw new GuildError('GUILD_LEASE_LOST', { id })
      heldUntil = asked + leaseMs
    },
    async [Symbol.asyncDispose]() {
      stop.abort(over) // without a reason it would make an error with a stack, for each run
      await beating
    },
  }
}
