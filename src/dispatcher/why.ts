import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import { type Story, type StoryRecords, tell, verdictOf } from './story.ts'

const sql = statements(import.meta.url, './why.sql', [
  'resolve',
  'event',
  'receipts',
  'decisions',
  'invocations',
  'actions',
  'approvals',
  'consequences',
])

/**
 * Why something happened, or why nothing did: from records alone (law 5), no model asked.
 * @param id of an event, run, action, reception, approval or trace, an action's marker (`guild:act_…`), or the sender's delivery id
 * @throws GUILD_NOT_FOUND
 */
export async function why(db: Queryable, id: string): Promise<Story> {
  const asked = id.trim().replace(/^guild:/, '')
  const found = await db.query<{ event_id: string }>(sql.resolve, [asked])
  const [eventId, ...siblings] = found.rows.map((row) => row.event_id)
  if (eventId === undefined) throw new GuildError('GUILD_NOT_FOUND', { what: 'record with the id', id })
  const records = await read(db, eventId)
  return {
    asked: id,
    event_id: eventId,
    siblings,
    verdict: verdictOf(records),
    nearest: nearestOf(records),
    lines: tell(records),
    ...records,
  }
}

async function read(db: Queryable, eventId: string): Promise<StoryRecords> {
  const all = async <Key extends Exclude<keyof StoryRecords, 'event'>>(key: Key, ...more: readonly string[]) =>
    (await db.query<StoryRecords[Key][number]>(sql[key], [eventId, ...more])).rows
  const { rows } = await db.query<NonNullable<StoryRecords['event']>>(sql.event, [eventId])
  const event = rows[0] ?? null
  return {
    event,
    receipts: await all('receipts'),
    decisions: await all('decisions'),
    invocations: await all('invocations'),
    actions: await all('actions'),
    approvals: await all('approvals'),
    consequences: await all('consequences', event?.causal_root ?? eventId),
  }
}

function nearestOf({ decisions }: StoryRecords): string | null {
  for (const { detail } of decisions) {
    if (typeof detail['nearest'] === 'string') return detail['nearest']
  }
  return null
}
