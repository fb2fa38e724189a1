import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Disposition } from '../kernel/event.ts'

const sql = statements(import.meta.url, './reconcile.sql', ['reconcile'])

export interface Reconciliation {
  /** receptions that the dispatcher has seen */
  readonly received: number
  readonly dispositions: Readonly<Partial<Record<Disposition, number>>>
  /** received − sum of dispositions; anything but 0 is a bug */
  readonly difference: number
}

/** Law 5: every reception ends in exactly one disposition, and the counts agree. */
export async function reconcile(db: Queryable): Promise<Reconciliation> {
  const { rows } = await db.query<{ kind: Disposition | 'RECEIVED'; count: number }>(sql.reconcile)
  let received = 0
  let sum = 0
  const dispositions: Partial<Record<Disposition, number>> = {}
  for (const { kind, count } of rows) {
    if (kind === 'RECEIVED') received = count
    else {
      dispositions[kind] = count
      sum += count
    }
  }
  return { received, dispositions, difference: received - sum }
}
