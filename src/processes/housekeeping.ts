import type { Artifacts } from '../artifacts/artifacts.ts'
import { dropAuditRanges } from '../audit/drop-range.ts'
import type { Bus } from '../bus/bus.ts'
import type { Codex } from '../codex/snapshot.ts'
import type { Settings } from '../config/settings.ts'
import type { Database } from '../database/database.ts'
import type { Sweeps } from '../database/sweep-log.ts'
import { forgetJournals } from '../executor/forget-journal.ts'
import { forgetTranscripts } from '../executor/forget-transcripts.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { borderOf, makeParts } from '../retention/parts.ts'
import { dropJournals, forgetStories, type Removed, removeExpired } from '../retention/stories.ts'

const everyMs = 3_600_000
const firstMs = 60_000
const dayMs = 86_400_000
/** The log of the bus serves replay and `guild dead`; GitHub redelivers for 3 days. */
const busDays = 7

export interface HousekeepingDeps {
  readonly bus: Pick<Bus, 'trim'>
  readonly artifacts: Pick<Artifacts, 'remove' | 'removeOlderThan'>
  readonly database: Database
  readonly codex: Pick<Codex, 'current'>
  readonly keep: Pick<
    Settings,
    'retentionEventsDays' | 'retentionStepsDays' | 'retentionAuditDays' | 'retentionTranscriptsDays'
  >
  readonly clock: Clock
  readonly sweeps: Sweeps
  readonly log: Log
}

/**
 * After a minute, then once an hour: makes the parts of what comes, and removes what its retention is over for. Each task by itself: one
 * that fails is tried again in an hour and does not hold up the others. Several may run.
 */
export function housekeeping(deps: HousekeepingDeps): Service {
  return {
    name: 'housekeeping',
    async run(signal) {
      // A process that never lives for an hour must clean up too, only not while it starts.
      for (let waitMs = firstMs; !signal.aborted; waitMs = everyMs) {
        await deps.clock.sleep(waitMs, signal)
        if (signal.aborted) return
        await houseclean(deps, signal)
      }
    },
  }
}

/** Every task once. @returns what was made and removed, by kind */
export async function houseclean(deps: HousekeepingDeps, signal: AbortSignal): Promise<Removed> {
  const { sweeps, log } = deps
  const all: Record<string, number> = {}
  for (const [name, task] of Object.entries(tasks)) {
    if (signal.aborted) break
    try {
      const removed = await task(deps, signal)
      if (Object.values(removed).some((count) => count > 0)) log.info({ task: name, ...removed }, 'housekeeping')
      Object.assign(all, removed)
      await sweeps.done(name, everyMs, removed)
    } catch (error) {
      log.warn({ task: name, reason: reasonOf(error) }, 'housekeeping failed, trying again in an hour')
      await sweeps.failed(name, everyMs, error)
    }
  }
  return all
}

type Task = (deps: HousekeepingDeps, signal: AbortSignal) => Promise<Removed>

const tasks: Readonly<Record<string, Task>> = {
  async partitions(deps) {
    const { database, keep } = deps
    const events = before(deps, keep.retentionEventsDays)
    const steps = before(deps, stepsDays(keep))
    return {
      made: await makeParts(database, {
        'guild_core.events': events && (await borderOf(database, 'guild_core.events', events)),
        'guild_core.run_steps': steps && (await borderOf(database, 'guild_core.run_steps', steps)),
      }),
    }
  },
  async stories(deps, signal) {
    const cutoff = before(deps, deps.keep.retentionEventsDays)
    return cutoff === null ? {} : forgetStories(deps.database, cutoff, signal)
  },
  async journals(deps, signal) {
    const forgotten = await forgetJournals(deps.database, deps.clock.now(), signal)
    const cutoff = before(deps, stepsDays(deps.keep))
    return { forgotten, ...(cutoff && (await dropJournals(deps.database, cutoff, signal))) }
  },
  async audit(deps, signal): Promise<Removed> {
    const cutoff = before(deps, deps.keep.retentionAuditDays)
    if (cutoff === null) return {}
    const dropped = await dropAuditRanges(deps.database, cutoff, deps.clock.now(), signal)
    return { audit_parts: dropped.length, audit_rows: dropped.reduce((sum, { rows }) => sum + rows, 0) }
  },
  async transcripts(deps, signal) {
    const { database: db, artifacts, codex, keep, clock } = deps
    const days = keep.retentionTranscriptsDays
    const ceilingMs = days === null ? null : days * dayMs
    const now = clock.now()
    const transcripts = await forgetTranscripts({ db, artifacts, snapshot: codex.current(), ceilingMs, now, signal })
    // Files that no row names: of runs that are forgotten, and drafts of killed processes.
    const unnamed = before(deps, days)
    return { transcripts, files: unnamed === null ? 0 : await artifacts.removeOlderThan('logs', unnamed) }
  },
  async messages(deps) {
    return { messages: await deps.bus.trim('*', { olderThan: daysAgo(deps, busDays) }) }
  },
  async expired(deps, signal) {
    return removeExpired(deps.database, daysAgo(deps, 1), signal)
  },
}

function stepsDays({ retentionStepsDays, retentionEventsDays }: HousekeepingDeps['keep']): number | null {
  if (retentionStepsDays === null) return retentionEventsDays
  return retentionEventsDays === null ? retentionStepsDays : Math.min(retentionStepsDays, retentionEventsDays)
}

function before(deps: HousekeepingDeps, days: number | null): Date | null {
  return days === null ? null : daysAgo(deps, days)
}

function daysAgo({ clock }: HousekeepingDeps, days: number): Date {
  return new Date(clock.now().getTime() - days * dayMs)
}
