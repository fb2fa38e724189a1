import { auditMessage } from '../audit/audit.ts'
import type { Outbox } from '../bus/outbox.ts'
import { Calendar } from '../codex/calendar.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import { hashId } from '../kernel/ids.ts'
import { topics } from '../kernel/topics.ts'

const sql = statements(import.meta.url, './schedules.sql', ['listSchedules', 'pauseSchedule'])

/** A schedule as API and CLI show it: the seed's columns and what is known of it. */
export interface Schedule {
  readonly id: string
  readonly name: string
  readonly cron_expression: string
  readonly timezone: string
  readonly target_agent: string
  readonly intent: string
  readonly person: string | null
  readonly chapter: string | null
  readonly priority: string
  readonly enabled: boolean
  readonly last_run: Date | null
  readonly next_run: Date | null
  /** slots that came due and were too old to make up for */
  readonly missed: number
  readonly codex_commit: string
  /** the next five slots, from its own place on */
  readonly upcoming: readonly {
    readonly at: Date
    readonly wall: string
    /** the clocks of its zone change that day */ readonly clock_change: boolean
  }[]
}

/** Of the serving Codex, soonest first, the paused last; at most 1 000. */
export async function listSchedules(
  db: Queryable,
  filter: { readonly id?: string; readonly agent?: string },
  now: Date,
): Promise<readonly Schedule[]> {
  const { rows } = await db.query<Omit<Schedule, 'upcoming'>>(sql.listSchedules, [
    filter.id ?? null,
    filter.agent ?? null,
  ])
  return rows.map((row) => ({ ...row, upcoming: upcoming(row, now) }))
}

/** @throws GUILD_NOT_FOUND */
export async function getSchedule(db: Queryable, id: string, now: Date): Promise<Schedule> {
  const [schedule] = await listSchedules(db, { id }, now)
  if (!schedule) throw new GuildError('GUILD_NOT_FOUND', { what: 'schedule', id })
  return schedule
}

/** Stops a schedule or lets it go on, until somebody says otherwise; a new Codex changes nothing of it. Audited. */
export async function setSchedule(
  { database, outbox }: { readonly database: Database; readonly outbox: Pick<Outbox, 'add'> },
  id: string,
  enabled: boolean,
  by: { readonly by: string; readonly note: string | null },
  now: Date,
): Promise<Schedule> {
  return database.transaction(async (tx) => {
    const schedule = await getSchedule(tx, id, now)
    const next = enabled ? (schedule.upcoming[0]?.at ?? null) : schedule.next_run
    const { rows } = await tx.query(sql.pauseSchedule, [id, enabled, now, next])
    if (rows.length > 0) {
      const event_type = enabled ? 'SCHEDULE_RESUMED' : 'SCHEDULE_PAUSED'
      const entry = {
        id: hashId('aud', id, event_type, now.getTime()),
        timestamp: now.toISOString(),
        event_type,
        agent_id: schedule.target_agent,
        actor: by.by,
        payload: { schedule: id, note: by.note },
        codex_commit: schedule.codex_commit,
      }
      await outbox.add(tx, topics.audit, [auditMessage(entry)])
    }
    return getSchedule(tx, id, now)
  })
}

function upcoming({ cron_expression, timezone }: Omit<Schedule, 'upcoming'>, now: Date): Schedule['upcoming'] {
  const calendar = Calendar.read(cron_expression, timezone)
  if (!(calendar instanceof Calendar)) return []
  const slots: Schedule['upcoming'][number][] = []
  let at = calendar.after(now)
  while (at !== null && slots.length < 5) {
    slots.push({ at, wall: calendar.wall(at), clock_change: changesClock(calendar, at) })
    at = calendar.after(at)
  }
  return slots
}

const halfDayMs = 12 * 3_600_000

/** Does the offset of the zone change within twelve hours before or after? */
function changesClock(calendar: Calendar, at: Date): boolean {
  const offset = (instant: number) =>
    Date.parse(`${calendar.wall(new Date(instant))}Z`) - Math.floor(instant / 60_000) * 60_000
  return offset(at.getTime() - halfDayMs) !== offset(at.getTime() + halfDayMs)
}
