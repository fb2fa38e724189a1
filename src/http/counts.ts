import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { DoctorCheck } from './doctor.ts'

const sql = statements(import.meta.url, './counts.sql', ['add', 'read', 'compare'])

export type CountedKind = 'disposition' | 'run' | 'action'

/** Rows by kind and state: `run` → `COMPLETED` → 12. */
export type Counted = Readonly<Record<CountedKind, Readonly<Record<string, number>>>>

interface CountRow {
  readonly kind: CountedKind
  readonly label: string
  readonly count: number
}

/**
 * How many runs, actions and receptions there are, by state. Exact, and as dear as what is open and what was decided since somebody last
 * asked: what is over is remembered (0027_tallies.sql). Those who ask at the same time share an answer.
 */
export class Counts {
  readonly #database: Queryable
  #reading: Promise<Counted> | null = null

  constructor(database: Queryable) {
    this.#database = database
  }

  read(): Promise<Counted> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null
    })
    return this.#reading
  }

  async #read(): Promise<Counted> {
    await this.#database.query(sql.add)
    const { rows } = await this.#database.query<CountRow>(sql.read)
    const of = (kind: CountedKind) =>
      Object.fromEntries(rows.filter((row) => row.kind === kind).map(({ label, count }) => [label, count]))
    return { disposition: of('disposition'), run: of('run'), action: of('action') }
  }
}

/** Is what is remembered what there is? Reads every row. */
export async function checkCounts(database: Queryable): Promise<Omit<DoctorCheck, 'name'>> {
  const { rows } = await database.query<CountRow & { readonly remembered: number; readonly counted: number }>(
    sql.compare,
  )
  if (rows.length === 0) return { verdict: 'ok', finding: 'what is shown is what there is', fix: null }
  const told = rows.map(
    ({ kind, label, remembered, counted }) => `${kind} ${label}: ${remembered} shown, ${counted} there`,
  )
  return {
    verdict: 'warning',
    finding: told.join('; '),
    fix: 'Only status and metrics are wrong, no record is. Report this with the output of `guild doctor --json`.',
  }
}
