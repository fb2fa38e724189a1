import type { CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import type { Queryable } from '../database/database.ts'
import { type Ruling, type Waking, withWakings } from './decide.ts'

/** What the dispatcher needs of whoever keeps the budgets. */
export interface Headroom {
  /**
   * Is a budget spent that every call of this agent must fit in? @returns which, for people; null: none. Only what is consumed counts:
   * what is merely reserved may come back, and an event must not be lost to it.
   */
  spent(tx: Queryable, snapshot: CodexSnapshot, agent: CompiledAgent, chapter: string | null): Promise<string | null>
}

/**
 * Agents that can do nothing without a model are not woken when the budget for it is spent. One question for each agent and chapter of a
 * batch, all at once; those that have rules to fall back on are not asked about.
 */
export async function checkHeadroom(
  tx: Queryable,
  headroom: Headroom,
  rulings: readonly Ruling[],
  snapshot: CodexSnapshot,
): Promise<readonly Ruling[]> {
  const asked = new Map<string, Promise<string | null>>()
  for (const { wakings } of rulings) {
    for (const waking of wakings) {
      const agent = snapshot.agents.get(waking.agentId)
      if (waking.outcome !== 'ROUTED' || !agent || hasRules(agent) || asked.has(questionOf(waking))) continue
      asked.set(questionOf(waking), headroom.spent(tx, snapshot, agent, waking.chapter))
    }
  }
  const answers = new Map(
    await Promise.all([...asked].map(async ([question, answer]) => [question, await answer] as const)),
  )
  return rulings.map((ruling) => {
    const wakings = ruling.wakings.map((waking) => {
      const spent = waking.outcome === 'ROUTED' ? (answers.get(questionOf(waking)) ?? null) : null
      return spent === null ? waking : refused(waking, spent)
    })
    return wakings.every((waking, at) => waking === ruling.wakings[at]) ? ruling : withWakings(ruling, wakings)
  })
}

function questionOf({ agentId, chapter }: Waking): string {
  return `${agentId} ${chapter ?? ''}`
}

function hasRules({ manifest }: CompiledAgent): boolean {
  return manifest.spec.model.prefer.some((alias) => alias === 'rules' || alias === 'replay')
}

function refused(waking: Waking, spent: string): Waking {
  const reason = `${waking.agentId} is not woken: ${spent}; raise the limit, or give the agent rules to fall back on (model.prefer: [..., rules])`
  return { ...waking, outcome: 'OVER_BUDGET', reason }
}
