import type { GuildEvent } from '../kernel/event.ts'
import { hashId, traceId } from '../kernel/ids.ts'
import type { Due } from './due.ts'
import type { DueRow } from './scheduler.ts'

/** What every schedule fires; the manifest's own trigger is the only route to it. */
export const scheduleEventType = 'SCHEDULE_FIRED'

/**
 * The event of one slot. Its id is a hash of schedule and slot: for a zone the instant (an hour that comes twice has two slots), for a
 * person the wall time (half past eight comes once a day, wherever they are).
 */
export function scheduleEvent(row: DueRow, fire: NonNullable<Due['fire']>, missed: number, now: Date): GuildEvent {
  const slot = row.person === null ? fire.at.toISOString() : fire.wall
  const id = hashId('evt', 'scheduler', row.id, slot)
  return {
    id,
    timestamp: fire.at.toISOString(),
    type: scheduleEventType,
    source: 'scheduler',
    payload: {
      schedule: row.id,
      intent: row.intent,
      person: row.person,
      timezone: row.timezone,
      local_time: fire.wall,
      local_date: fire.wall.slice(0, 10),
      due_at: fire.at.toISOString(),
      late: fire.late,
      missed,
    },
    metadata: {
      schema_version: 1,
      trace_id: traceId(id),
      priority: row.priority,
      occurred_at: fire.at.toISOString(),
      received_at: now.toISOString(),
      delivery_id: `${row.id} ${slot}`,
      receipt_id: hashId('rcv', 'scheduler', row.id, slot),
      dedup_key: `schedule:${row.id}:${slot}`,
      body_hash: null,
      subject: { kind: 'schedule', id: row.id, url: null },
      actor: { kind: 'system', id: 'scheduler', display: 'scheduler', integrity: 'verified' },
      correlation_id: null,
      origin: 'schedule',
      connector: 'scheduler',
      chapter: row.chapter,
      self: false,
      marker: null,
      causal: { root: id, depth: 0, parent: null },
    },
  }
}
