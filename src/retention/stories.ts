import type { Database, Statement } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { borderOf, dropParts } from './parts.ts'

const sql = statements(import.meta.url, './stories.sql', [
  'setBorder',
  'addTallies',
  'nextEvents',
  'forget',
  'keptEvents',
  'openRuns',
  'restSteps',
  'looseDecisions',
  'looseReceipts',
  'oldMeanings',
  'oldLinks',
  'vacuum',
])

/** Events of one transaction, with all they led to. */
const storiesMax = 500
const rowsMax = 5_000

export type Removed = Readonly<Record<string, number>>

/**
 * Removes events that were received before the week of `cutoff`, with their receipts, decisions, runs, actions and approvals; the trail
 * keeps its own. An event of which a run or an action is still open stays whole, wherever it lies. In small transactions, so that it may
 * be interrupted and several may run.
 * @returns rows removed by kind, and parts dropped
 */
export async function forgetStories(db: Database, cutoff: Date, signal: AbortSignal): Promise<Removed> {
  const border = await borderOf(db, 'guild_core.events', cutoff)
  await db.query(sql.setBorder, [border])
  await db.query(sql.addTallies)
  const removed: Record<string, number> = {}
  for (let after: Cursor = { received_at: '-infinity', id: '' }; !signal.aborted;) {
    const params = [border, after.received_at, after.id, storiesMax]
    const { rows }: { rows: readonly Cursor[] } = await db.query<Cursor>(sql.nextEvents, params)
    const last = rows.at(-1)
    if (last === undefined) break
    after = last
    const ids = rows.map(({ id }) => id)
    const forgotten = await db.transaction((tx) => tx.query<Record<string, number>>(sql.forget, [ids]))
    for (const [kind, count] of Object.entries(forgotten.rows[0] ?? {})) removed[kind] = (removed[kind] ?? 0) + count
  }
  if (signal.aborted) return removed
  const kept = async (from: Date, to: Date) =>
    (await db.query<{ id: string }>(sql.keptEvents, [from, to])).rows.map(({ id }) => id)
  removed['event_parts'] = await dropParts(db, 'guild_core.events', border, kept, signal)
  removed['receipts'] = (removed['receipts'] ?? 0) + (await inBatches(db, sql.looseReceipts, border, signal))
  removed['decisions'] = (removed['decisions'] ?? 0) + (await inBatches(db, sql.looseDecisions, border, signal))
  // The embedded engine has no autovacuum.
  if (db.kind === 'pglite' && (removed['events'] ?? 0) > 0) await db.query(sql.vacuum)
  return removed
}

interface Cursor {
  readonly id: string
  readonly received_at: string
}

/** Drops the journals of runs made before the week of `cutoff`; what is still open stays. */
export async function dropJournals(db: Database, cutoff: Date, signal: AbortSignal): Promise<Removed> {
  const border = await borderOf(db, 'guild_core.run_steps', cutoff)
  const open = async (from: Date, to: Date) =>
    (await db.query<{ id: string }>(sql.openRuns, [from, to])).rows.map(({ id }) => id)
  const parts = await dropParts(db, 'guild_core.run_steps', border, open, signal)
  return { step_parts: parts, steps: await inBatches(db, sql.restSteps, border, signal) }
}

/** What has run out by itself: claims of meanings, and links to sign in. */
export async function removeExpired(db: Database, before: Date, signal: AbortSignal): Promise<Removed> {
  return {
    meanings: await inBatches(db, sql.oldMeanings, before, signal),
    sign_in_links: await inBatches(db, sql.oldLinks, before, signal),
  }
}

async function inBatches(db: Database, statement: Statement, before: Date, signal: AbortSignal): Promise<number> {
  for (let removed = 0; ;) {
    const { count } = await db.query(statement, [before, rowsMax])
    removed += count
    if (count === 0 || signal.aborted) return removed
  }
}
