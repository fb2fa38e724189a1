import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Disposition, EventMetadata, Priority } from '../kernel/event.ts'
import type { JsonObject } from '../kernel/json.ts'

const sql = statements(import.meta.url, './events.sql', ['listEvents', 'listReceipts', 'readEvent'])

/** An event in a list: everything but its payload. */
export interface EventRow {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly connector: string
  readonly chapter: string | null
  readonly priority: Priority
  readonly trace_id: string
  readonly subject_kind: string
  readonly subject_id: string
  readonly actor: string
  readonly disposition: Disposition
  readonly rule: string | null
  readonly reason: string
  readonly invocations: number
  readonly causal_root: string
  readonly causal_depth: number
  readonly causal_parent: string | null
  readonly occurred_at: Date
  readonly received_at: Date
  readonly decided_at: Date
  readonly codex_commit: string
  /** set in lists of DUPLICATE and DEAD, where a row is one reception */
  readonly receipt_id: string | null
  readonly duplicate_of: string | null
}

export interface EventDetail extends Omit<EventRow, 'receipt_id' | 'duplicate_of'> {
  readonly dedup_key: string
  readonly payload: JsonObject
  readonly metadata: EventMetadata
  readonly runs: readonly {
    readonly id: string
    readonly agent_id: string
    readonly state: string
    readonly rule: string
  }[]
  /** how often it was received, itself included */
  readonly receptions: number
}

export interface EventQuery {
  /** 1 … 500, default 50 */
  readonly limit?: number
  /** `next` of the page before */
  readonly before?: string
  readonly type?: string
  /** one of `dispositions` */
  readonly disposition?: string
  readonly source?: string
}

/**
 * Events, newest reception first. An event is listed once however often it was received; `disposition: 'DUPLICATE'` (or `'DEAD'`)
 * lists the repetitions (the unreadable messages) instead, one row per reception.
 */
export async function listEvents(
  db: Queryable,
  { limit = 50, before, type, disposition, source }: EventQuery = {},
): Promise<{ readonly items: readonly EventRow[]; readonly next: string | null }> {
  const size = Math.min(Math.max(Math.trunc(limit), 1), 500)
  const receptions = disposition === 'DUPLICATE' || disposition === 'DEAD'
  const { rows } = await db.query<EventRow>(receptions ? sql.listReceipts : sql.listEvents, [
    size + 1,
    type ?? null,
    disposition ?? null,
    source ?? null,
    before ?? null,
  ])
  const items = rows.slice(0, size)
  const last = rows.length > size ? items.at(-1) : undefined
  return { items, next: last ? (last.receipt_id ?? last.id) : null }
}

/** One event with its payload, its runs and how often it came. @throws GUILD_NOT_FOUND */
export async function readEvent(db: Queryable, id: string): Promise<EventDetail> {
  const { rows } = await db.query<EventDetail>(sql.readEvent, [id])
  const [event] = rows
  if (!event) throw new GuildError('GUILD_NOT_FOUND', { what: 'event', id })
  return event
}
