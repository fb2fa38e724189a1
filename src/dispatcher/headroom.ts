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
 * batch; those that have rules to fall back on are not asked about.
 */
export async function checkHeadroom(
  tx: Queryable,
  headroom: Headroom,
  rulings: readonly Ruling[],
  snapshot: CodexSnapshot,
): Promise<readonly Ruling[]> {
  const answers = new Map<string, string | null>()
  const checked: Ruling[] = []
  for (const ruling of rulings) {
    const wakings: Waking[] = []
    for (const waking of ruling.wakings) {
      const agent = snapshot.agents.get(waking.agentId)
      if (waking.outcome !== 'ROUTED' || !agent || hasRules(agent)) {
        wakings.push(waking)
        continue
      }
      const asked = `${waking.agentId} ${waking.chapter ?? ''}`
      const known = answers.get(asked)
      const spent = known === undefined ? await headroom.spent(tx, snapshot, agent, waking.chapter) : known
      answers.set(asked, spent)
      wakings.push(spent === null ? waking : refused(waking, spent))
    }
    checked.push(wakings.every((waking, at) => waking === ruling.wakings[at]) ? ruling : withWakings(ruling, wakings))
  }
  return checked
}

function hasRules({ manifest }: CompiledAgent): boolean {
  return manifest.spec.model.prefer.some((alias) => alias === 'rules' || alias === 'replay')
}

function refused(waking: Waking, spent: string): Waking {
  const reason = `${waking.agentId} is not woken: ${spent}; raise the limit, or give the agent rules to fall back on (model.prefer: [..., rules])`
  return { ...waking, outcome: 'OVER_BUDGET', reason }
}
