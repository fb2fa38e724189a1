import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'

const sql = statements(import.meta.url, './take-over.sql', ['lapseRuns', 'lapseActions', 'lapseClaims'])

/**
 * Ends every lease of the processes before this one. Only for the embedded database: its lock proves that they are dead, so nobody has
 * to wait for their leases to run out after a crash. Runs then continue from their journal, and calls in doubt are probed at once.
 * @returns how many leases there were
 */
export async function takeOver(database: Database): Promise<number> {
  return database.transaction(async (tx) => {
    let leases = 0
    for (const statement of [sql.lapseRuns, sql.lapseActions, sql.lapseClaims])
      leases += (await tx.query(statement)).count
    return leases
  })
}
