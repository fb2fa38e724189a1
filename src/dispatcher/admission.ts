import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { type AdmissionFacts, admissionQuestions, admit, noFacts, type OpenRun, slotName } from './admit.ts'
import type { Ruling } from './decide.ts'

const sql = statements(import.meta.url, './admission.sql', ['admissionFacts'])

/**
 * One statement for a batch that continues trees of causes or meets an overlap; none for any other. It locks what it counts until
 * `tx` ends, so that dispatchers decide about one tree, and about one concurrency key, one after another.
 */
export async function admitAll(
  tx: Queryable,
  rulings: readonly Ruling[],
  snapshot: CodexSnapshot,
): Promise<readonly Ruling[]> {
  const { roots, slots } = admissionQuestions(rulings, snapshot)
  if (roots.length === 0 && slots.length === 0) return admit(rulings, snapshot, noFacts)
  const { rows } = await tx.query<FactRow>(sql.admissionFacts, [JSON.stringify(roots), JSON.stringify(slots)])
  return admit(rulings, snapshot, factsOf(rows))
}

function factsOf(rows: readonly FactRow[]): AdmissionFacts {
  const trees = new Map<string, number>()
  const slots = new Map<string, OpenRun[]>()
  for (const row of rows) {
    if (row.kind === 'tree') trees.set(row.key, row.runs)
    else {
      const name = slotName(row.agent_id, row.key)
      slots.set(name, [...(slots.get(name) ?? []), { id: row.run, state: row.state }])
    }
  }
  return { trees, slots }
}

type FactRow =
  | { readonly kind: 'tree'; readonly key: string; readonly runs: number }
  | {
      readonly kind: 'slot'
      readonly agent_id: string
      readonly key: string
      readonly run: string
      readonly state: OpenRun['state']
    }
