import { assertNever } from '../kernel/assert-never.ts'
import type { BudgetLimit } from './ledger.ts'

export interface Period {
  readonly start: Date
  /** exclusive */
  readonly end: Date
}

const forever: Period = { start: new Date(0), end: new Date('9999-12-31T00:00:00Z') }

/** The period of `kind` that `at` lies in, in UTC; those of a run and of a causal tree have one period that never ends. */
export function periodOf(kind: BudgetLimit['kind'], at: Date): Period {
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()]
  switch (kind) {
    case 'hour': {
      const hour = at.getUTCHours()
      return { start: utc(year, month, day, hour), end: utc(year, month, day, hour + 1) }
    }
    case 'day':
      return { start: utc(year, month, day), end: utc(year, month, day + 1) }
    case 'month':
      return { start: utc(year, month, 1), end: utc(year, month + 1, 1) }
    case 'tree':
    case 'run':
      return forever
    default:
      return assertNever(kind)
  }
}

// A run is 33 since its first version; a tree is 30, so that it comes after every agent and before every run.
const entityRank = { organization: 0, chapter: 1, agent: 2, tree: 3, run: 3 } as const
const kindRank = { hour: 0, day: 1, month: 2, tree: 0, run: 3 } as const

/**
 * The id of a budget row. Its text order is the lock order (organisation, chapter, agent, tree, run; then hour, day, month; then entity),
 * so a statement that locks `ORDER BY id COLLATE "C"` can never deadlock with another one that does.
 */
export function budgetId(limit: Pick<BudgetLimit, 'entityType' | 'entityId' | 'kind'>, period: Period): string {
  const rank = `${entityRank[limit.entityType]}${kindRank[limit.kind]}`
  const head = `${rank}:${limit.entityType}:${limit.entityId}:${limit.kind}`
  return limit.kind === 'run' || limit.kind === 'tree' ? head : `${head}:${period.start.toISOString().slice(0, 13)}`
}

function utc(year: number, month: number, day: number, hour = 0): Date {
  return new Date(Date.UTC(year, month, day, hour))
}
