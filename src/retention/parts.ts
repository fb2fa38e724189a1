import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'

const sql = statements(import.meta.url, './parts.sql', ['tables', 'make', 'list', 'over', 'drop', 'border'])

/** Parts made ahead of the one of now: two weeks, or two months of the trail. */
export const partsAhead = 2

export type PartedTable = 'guild_core.events' | 'guild_core.run_steps' | 'guild_audit.audit_log'

export interface Part {
  readonly parent: PartedTable
  readonly part: string
  /** null: the rest, which takes what fits no other part */
  readonly from_at: Date | null
  readonly to_at: Date | null
  /** as of the last ANALYZE */
  readonly rows: number
}

/**
 * Makes the parts of now and of what comes, for every table, each in a transaction of its own; what lies in the rest since its border
 * moves to its part. Several may run. @returns how many were made
 */
export async function makeParts(
  db: Database,
  borders: Readonly<Partial<Record<PartedTable, Date | null>>> = {},
): Promise<number> {
  const { rows } = await db.query<{ name: PartedTable }>(sql.tables)
  let made = 0
  for (const { name } of rows) {
    const border = borders[name]
    // Without a border everything in the rest gets its part; the trail has none, since nothing of it is kept longer than the rest.
    const from = border?.toISOString() ?? '-infinity'
    made += await db.transaction(
      async (tx) => (await tx.query<{ made: number }>(sql.make, [name, partsAhead, from])).rows[0]?.made ?? 0,
    )
  }
  return made
}

/** What there is. */
export async function listParts(db: Queryable): Promise<readonly Part[]> {
  return (await db.query<Part>(sql.list)).rows
}

/** Only whole parts go: the beginning of the one that `cutoff` lies in. */
export async function borderOf(db: Queryable, table: PartedTable, cutoff: Date): Promise<Date> {
  const { rows } = await db.query<{ border: Date }>(sql.border, [table, cutoff])
  return rows[0]?.border ?? cutoff
}

/** Drops the parts that end before `border`, oldest first; `keep` names what is still open in a part, and moves to the rest. */
export async function dropParts(
  db: Database,
  table: PartedTable,
  border: Date,
  keep: (from: Date, to: Date) => Promise<readonly string[]>,
  signal: AbortSignal,
): Promise<number> {
  const { rows } = await db.query<{ from_at: Date; to_at: Date }>(sql.over, [table, border])
  let dropped = 0
  for (const { from_at, to_at } of rows) {
    if (signal.aborted) break
    // What is open is looked for before the table is locked.
    const open = await keep(from_at, to_at)
    await db.transaction((tx) => tx.query(sql.drop, [table, from_at, open]))
    dropped += 1
  }
  return dropped
}
