import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { hashId } from '../kernel/ids.ts'
import { appendEntries } from './writer.ts'

const sql = statements(import.meta.url, './drop-range.sql', ['due', 'range', 'keepAnchor', 'drop'])

export interface DroppedRange {
  readonly from: Date
  readonly to: Date
  readonly rows: number
}

/** The entry that tells of a dropped range; `guild audit verify` wants it for the newest anchor. */
export const rangeDropped = 'AUDIT_RANGE_DROPPED'

/**
 * Drops the parts of the trail that ended before `before`, oldest first, each in one transaction with the hash of its last row as an
 * anchor and an entry of the chain that says so. The chain can be verified from the anchor on. Several may run.
 * @returns what was dropped; stops between parts when `signal` aborts
 */
export async function dropAuditRanges(
  db: Database,
  before: Date,
  now: Date,
  signal: AbortSignal,
): Promise<readonly DroppedRange[]> {
  const { rows } = await db.query<{ from_at: Date; to_at: Date }>(sql.due, [before])
  const dropped: DroppedRange[] = []
  for (const { from_at: from, to_at: to } of rows) {
    if (signal.aborted) break
    dropped.push({ from, to, rows: await dropRange(db, from, to, now) })
  }
  return dropped
}

const ranges = z.tuple([
  z.object({
    rows: z.int(),
    from_seq: z.int().nullable(),
    to_seq: z.int().nullable(),
    hash: z.string().nullable(),
  }),
])

async function dropRange(db: Database, from: Date, to: Date, now: Date): Promise<number> {
  return db.transaction(async (tx) => {
    const [range] = ranges.parse((await tx.query(sql.range, [from, to])).rows)
    const { rows, from_seq, to_seq, hash } = range
    if (from_seq !== null && to_seq !== null && hash !== null) {
      const period = { from: from.toISOString(), to: to.toISOString() }
      // The lock of the chain, taken here, makes a second sweeper wait; it then finds the anchor and fails, and finds nothing due next time.
      await appendEntries(tx, [
        {
          id: hashId('aud', rangeDropped, to_seq, hash),
          timestamp: now.toISOString(),
          event_type: rangeDropped,
          agent_id: null,
          source_event_id: null,
          action_type: null,
          target_system: null,
          payload: { from_seq, to_seq, rows, hash, ...period },
          result: 'SUCCESS',
          error_message: null,
          trace_id: null,
          invocation_id: null,
          action_id: null,
          actor: 'system:retention',
          codex_commit: null,
          decision_id: null,
        },
      ])
      await tx.query(sql.keepAnchor, [to_seq, hash, from_seq, rows, from, to])
    }
    await tx.query(sql.drop, [from])
    return rows
  })
}
