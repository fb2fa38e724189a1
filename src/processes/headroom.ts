import type { Headroom } from '../dispatcher/headroom.ts'
import type { Clock } from '../kernel/clock.ts'
import { budgetLimits } from '../ledger/limits.ts'
import { budgetLevels } from '../ledger/room.ts'

/** What the dispatcher asks about budgets, answered from the ledger. */
export function headroom({ organisation, clock }: { organisation: string; clock: Clock }): Headroom {
  return {
    async spent(tx, snapshot, agent, chapter) {
      // Run and tree are not there yet: a new run has all of its own budget, and the tree is asked at each call.
      const run = { invocationId: '', causalRoot: '' }
      const limits = budgetLimits(snapshot, agent, chapter, organisation, run).filter(
        ({ entityType, tokens, costMicros }) =>
          entityType !== 'run' && entityType !== 'tree' && (tokens !== null || costMicros !== null),
      )
      if (limits.length === 0) return null
      const { level, limit } = (await budgetLevels(tx, limits, clock.now())).standing
      if (level !== 'spent' || !limit) return null
      return `the budget of the ${limit.entityType} ${limit.entityId} for this ${limit.kind} is spent`
    },
  }
}
