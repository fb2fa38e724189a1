import type { Outbox } from '../bus/outbox.ts'
import { Calendar } from '../codex/calendar.ts'
import type { Codex, CodexSnapshot } from '../codex/snapshot.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { topics } from '../kernel/topics.ts'
import { due, type Due } from './due.ts'
import { planSchedules, type PlannedSchedule } from './plan.ts'
import { scheduleEvent } from './schedule-event.ts'

const sql = statements(import.meta.url, './scheduler.sql', [
  'lockPlan',
  'readPlan',
  'writePlan',
  'claimDue',
  'writeFired',
  'nextDue',
])

export interface SchedulerDeps {
  readonly database: Database
  readonly outbox: Pick<Outbox, 'add'>
  readonly codex: Pick<Codex, 'current'>
  readonly clock: Clock
  readonly log: Log
}

/** Schedules fired in one transaction. */
const batchMax = 200
/** A new Codex is seen after this at the latest. */
const lookMs = 5_000
/** Another process may have planned something nearer. */
const askMs = 60_000

/**
 * Fires an event for each slot of each schedule (seed §2.5). Any number of schedulers may run: rows are taken with SKIP LOCKED, event and
 * mark are one transaction, and the event's id is a hash of schedule and slot, so that two never fire one slot twice.
 */
export function scheduler(deps: SchedulerDeps): Service {
  const { clock, codex, log } = deps
  return {
    name: 'scheduler',
    async run(signal) {
      let planned: CodexSnapshot | null = null
      let wakeAt = 0
      while (!signal.aborted) {
        try {
          const snapshot = codex.current()
          if (snapshot !== planned) {
            await planAll(deps, snapshot)
            planned = snapshot
            wakeAt = 0
          }
          if (clock.now().getTime() >= wakeAt) wakeAt = await fireDue(deps)
        } catch (error) {
          log.warn({ reason: reasonOf(error) }, 'schedules not looked at, trying again')
        }
        await clock.sleep(Math.min(lookMs, Math.max(20, wakeAt - clock.now().getTime())), signal)
      }
    },
  }
}

/** One look, for a cron job in the place of a process. @returns when the next slot is due (ms since 1970) */
export async function scheduleOnce(deps: SchedulerDeps): Promise<number> {
  await planAll(deps, deps.codex.current())
  return fireDue(deps)
}

/** Fires until nothing is due. @returns when to look again (ms since 1970) */
async function fireDue(deps: SchedulerDeps): Promise<number> {
  for (;;) {
    const fired = await tick(deps)
    if (fired < batchMax) break
  }
  const { rows } = await deps.database.query<{ next_run: Date | null }>(sql.nextDue)
  const later = deps.clock.now().getTime() + askMs
  return Math.min(later, rows[0]?.next_run?.getTime() ?? later)
}

/** One transaction: what is due, its events, and the slots that come next. @returns how many schedules it moved on, at most 200 */
export async function tick(deps: SchedulerDeps): Promise<number> {
  const now = deps.clock.now()
  return deps.database.transaction(async (tx) => {
    const { rows } = await tx.query<DueRow>(sql.claimDue, [now, batchMax])
    if (rows.length === 0) return 0
    const moved = rows.map((row) => ({ row, ...judge(deps, row, now) }))
    const events = moved.flatMap(({ row, fire, missed }) => (fire ? [scheduleEvent(row, fire, missed, now)] : []))
    const messages = events.map((event) => ({
      id: event.metadata.receipt_id,
      key: event.metadata.subject.id,
      priority: event.metadata.priority,
      body: event,
    }))
    if (messages.length > 0) await deps.outbox.add(tx, topics.inbound, messages)
    const marks = moved.map(({ row, fire, missed, next }) => ({
      id: row.id,
      since: now,
      next_run: next,
      missed,
      last_run: fire?.at ?? null,
      last_wall: fire?.wall ?? null,
    }))
    await tx.query(sql.writeFired, [JSON.stringify(marks)])
    for (const { row, fire, missed } of moved) {
      if (missed > 0) deps.log.warn({ schedule: row.id, missed, fired: fire?.wall ?? null }, 'slots missed')
    }
    return rows.length
  })
}

/** Writes what the snapshot asks for; what it no longer asks for is kept as removed, and does not fire. */
export function planAll(deps: SchedulerDeps, snapshot: CodexSnapshot): Promise<void> {
  const now = deps.clock.now()
  return deps.database.transaction(async (tx) => {
    await tx.query(sql.lockPlan)
    const known = await knownSchedules(tx)
    const rows = planSchedules(snapshot).map((plan) => ({
      ...plan,
      ...standingOf(deps, plan, known.get(plan.id), now),
    }))
    await tx.query(sql.writePlan, [JSON.stringify(rows), snapshot.commit, now])
  })
}

/** A schedule that stays as it was keeps its place; one that is new, or has changed, is counted anew. */
function standingOf(deps: SchedulerDeps, plan: PlannedSchedule, known: KnownRow | undefined, now: Date) {
  const same = known && known.cron_expression === plan.cron_expression && known.timezone === plan.timezone
  if (same && known.next_run) return { since: known.since, next_run: known.next_run }
  // Somebody who flew west at noon has had today's already: their wall time decides (see `due`). Who flew east gets it late.
  const since = known?.last_wall && plan.person !== null ? new Date(now.getTime() - plan.catch_up_ms) : now
  return { since, next_run: calendarOf(deps, plan)?.after(since) ?? null }
}

function judge(deps: SchedulerDeps, row: DueRow, now: Date): Due {
  const calendar = calendarOf(deps, row)
  if (!calendar) return { fire: null, missed: 0, next: null }
  const standing = {
    since: row.since,
    lastWall: row.last_wall,
    catchUpMs: row.catch_up_ms,
    oncePerWall: row.person !== null,
  }
  return due(calendar, standing, now)
}

/** The lint has read it; a zone that this machine's data does not know must not hold up all the others. */
function calendarOf({ log }: SchedulerDeps, schedule: Pick<DueRow, 'id' | 'cron_expression' | 'timezone'>) {
  const calendar = Calendar.read(schedule.cron_expression, schedule.timezone)
  if (calendar instanceof Calendar) return calendar
  log.error({ schedule: schedule.id, why: calendar.problem }, 'a schedule cannot be read and does not fire')
  return null
}

async function knownSchedules(tx: Queryable): Promise<ReadonlyMap<string, KnownRow>> {
  const { rows } = await tx.query<KnownRow>(sql.readPlan)
  return new Map(rows.map((row) => [row.id, row]))
}

interface KnownRow {
  readonly id: string
  readonly cron_expression: string
  readonly timezone: string
  readonly last_run: Date | null
  readonly last_wall: string | null
  readonly next_run: Date | null
  readonly since: Date
}

/** A schedule whose time has come. */
export interface DueRow extends Omit<PlannedSchedule, 'name'> {
  readonly since: Date
  readonly last_wall: string | null
}
