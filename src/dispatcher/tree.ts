import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Disposition } from '../kernel/event.ts'

const sql = statements(import.meta.url, './tree.sql', ['rootOf', 'treeEvents', 'treeRuns', 'treeSum'])

export interface TreeEvent {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly subject_id: string
  readonly actor: string
  readonly disposition: Disposition
  readonly reason: string
  readonly causal_depth: number
  /** the run that caused it */
  readonly causal_parent: string | null
  readonly received_at: Date
}

export interface TreeRun {
  readonly id: string
  readonly agent_id: string
  readonly event_id: string
  readonly state: string
  readonly reason: string | null
  /** why it has not started */
  readonly held_reason: string | null
  readonly causal_depth: number
  readonly parent_id: string | null
  readonly cost_micros: number
  readonly tokens: number
  readonly actions: number
  readonly queued_at: Date
}

/** Everything that followed from one first cause: `GET /api/v1/events/{id}/tree`. */
export interface CausalTree {
  /** the event it began with */
  readonly root: string
  /** whose doing that was; null: the root is not among the events */
  readonly person: string | null
  readonly runs: number
  /** of the deepest run */
  readonly depth: number
  readonly cost_micros: number
  readonly tokens: number
  /** in order of arrival, 1 000 at most */
  readonly events: readonly TreeEvent[]
  /** oldest first, 1 000 at most */
  readonly invocations: readonly TreeRun[]
}

/** @param id of an event, reception, delivery, run or action. @throws GUILD_NOT_FOUND */
export async function readTree(db: Queryable, id: string): Promise<CausalTree> {
  const found = await db.query<{ root: string }>(sql.rootOf, [id])
  const root = found.rows[0]?.root
  if (root === undefined) throw new GuildError('GUILD_NOT_FOUND', { what: 'event, run or action', id })
  const events = (await db.query<TreeEvent>(sql.treeEvents, [root])).rows
  const invocations = (await db.query<TreeRun>(sql.treeRuns, [root])).rows
  const sums = await db.query<Pick<CausalTree, 'runs' | 'depth' | 'cost_micros' | 'tokens'>>(sql.treeSum, [root])
  const [sum = { runs: 0, depth: 0, cost_micros: 0, tokens: 0 }] = sums.rows
  const person = events.find((event) => event.id === root)?.actor ?? null
  return { root, person, ...sum, events, invocations }
}
