import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'

const sql = statements(import.meta.url, './forget-journal.sql', ['forgetNow', 'forgetDue'])

const batchMax = 200

/** With `retention.transcript: 0`, in the transaction that ends the run: hashes and usage of its steps are kept, and no words. */
export async function forgetJournal(tx: Queryable, id: string): Promise<void> {
  await tx.query(sql.forgetNow, [id])
}

/** The same for every run whose `retention.journal` is over, in batches until `signal` aborts. @returns how many runs */
export async function forgetJournals(db: Queryable, now: Date, signal: AbortSignal): Promise<number> {
  for (let runs = 0; ;) {
    const { rows } = await db.query(sql.forgetDue, [now, batchMax])
    runs += rows.length
    if (rows.length < batchMax || signal.aborted) return runs
  }
}
