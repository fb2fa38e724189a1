import type { Queryable, Statement } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { GuildEvent } from '../kernel/event.ts'
import type { Arrival } from './decide.ts'
import type { EchoConfirmer } from './echo.ts'

const sql = statements(import.meta.url, './look-up.sql', ['lookUp'])
const lookUpRecords: Statement = { ...sql.lookUp, reads: true }

export interface LookedUp {
  /** what is left after those whose receipt is known: the bus delivered them twice, and the first time was enough */
  readonly arrivals: readonly Arrival[]
  /** receipts that say DEAD: of these messages the bus has yet to keep a dead letter */
  readonly buried: ReadonlySet<string>
}

/** What the records say about the events of a batch. */
export async function lookUp(tx: Queryable, echoes: EchoConfirmer, events: readonly GuildEvent[]): Promise<LookedUp> {
  const { rows } = await tx.query<LookUpRow>(lookUpRecords, [JSON.stringify(events.map(question))])
  const answers = new Map(rows.map((row) => [row.receipt_id, row]))
  const arrivals = new Map<string, Arrival>()
  for (const event of events) {
    const row = answers.get(event.metadata.receipt_id)
    if (!row || row.received || arrivals.has(event.metadata.receipt_id)) continue
    const { marker } = event.metadata
    const known = { original: originalOf(row), cause: causeOf(row) }
    // Only a marker that is in our table is asked about, and nothing for what is a duplicate anyway.
    const asked = marker !== null && row.marker_known && known.original === null
    const echo = asked ? await echoes.confirm(tx, { marker, event }) : null
    arrivals.set(event.metadata.receipt_id, { event, known, echo })
  }
  const buried = new Set(rows.filter((row) => row.buried).map((row) => row.receipt_id))
  return { arrivals: [...arrivals.values()], buried }
}

interface LookUpRow {
  readonly receipt_id: string
  readonly received: boolean
  /** null: not received */
  readonly buried: boolean | null
  readonly same_id: string | null
  readonly fact_id: string | null
  readonly replayed_id: string | null
  readonly marker_known: boolean
  readonly cause_action: string | null
  readonly cause_root: string | null
  readonly cause_depth: number | null
  readonly cause_parent: string | null
}

function question({ id, source, metadata }: GuildEvent): object {
  return {
    receipt_id: metadata.receipt_id,
    id,
    source,
    connector: metadata.connector,
    dedup_key: metadata.dedup_key,
    body_hash: metadata.body_hash,
    delivery_id: metadata.delivery_id,
    marker: metadata.marker?.replace(/^guild:/, '') ?? null,
    subject_id: metadata.subject.id,
    subject_url: metadata.subject.url,
    bot: metadata.actor.kind === 'bot',
    received_at: metadata.received_at,
  }
}

function originalOf(row: LookUpRow): Arrival['known']['original'] {
  if (row.same_id !== null) return { eventId: row.same_id, by: 'delivery' }
  if (row.fact_id !== null) return { eventId: row.fact_id, by: 'fact' }
  return row.replayed_id === null ? null : { eventId: row.replayed_id, by: 'body' }
}

function causeOf(row: LookUpRow): Arrival['known']['cause'] {
  if (row.cause_action === null || row.cause_root === null || row.cause_depth === null) return null
  return { actionId: row.cause_action, root: row.cause_root, depth: row.cause_depth, parent: row.cause_parent }
}
