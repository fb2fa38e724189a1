import type { CompiledAgent, CompiledRoute } from '../src/codex/snapshot.ts'
import { compileCondition } from '../src/codex/condition.ts'
import { anAgent, aRoute, aSnapshot } from '../test/dispatch.ts'

export const agentsMax = 100
const rulesMax = 20
export const eventTypes = [
  'PR_OPENED',
  'PR_UPDATED',
  'PR_MERGED',
  'ISSUE_OPENED',
  'ISSUE_COMMENTED',
  'CHECK_FAILED',
  'DEPLOYMENT_FAILED',
  'BRANCH_PUSHED',
  'ALERT_OPENED',
  'RELEASE_PUBLISHED',
] as const

/** Of an event with this serial number: its type, and the repository that decides which of the agents it wakes. */
export function kindOf(serial: number): { readonly type: string; readonly repository: string } {
  const agent = serial % agentsMax
  return { type: eventTypes[agent % eventTypes.length] ?? 'PR_OPENED', repository: `octo/shop-${agent}` }
}

/**
 * A Codex of a middle-sized organisation: 100 agents, each with a trigger of its own for one repository, and 20 rules, half of which
 * mute what bots do and half of which name an agent that the trigger has woken already. An event is held against ten triggers and two
 * rules, all with conditions, and wakes one agent.
 */
export function middleSizedCodex() {
  const agents = Array.from({ length: agentsMax }, (_, serial) => anAgent(`agent-${serial}`))
  const rules = Array.from({ length: rulesMax }, (_, serial): CompiledRoute => {
    const type = eventTypes[Math.floor(serial / 2)] ?? '*'
    if (serial % 2 === 0)
      return aRoute(`mute-${serial}`, type, [], { where: "payload.sender.type == 'Bot'", mute: 'bots wake nobody' })
    const agent = Math.floor(serial / 2)
    const where = `payload.repository.full_name == 'octo/shop-${agent}' && metadata.priority == 'NORMAL'`
    return aRoute(`first-${serial}`, type, [`agent-${agent}`], { where })
  })
  return aSnapshot(agents, [...rules, ...agents.map(trigger)])
}

function trigger(agent: CompiledAgent, serial: number): CompiledRoute {
  return {
    rule: `agents/${agent.id}.yaml#trigger`,
    place: agent.place,
    eventType: kindOf(serial).type,
    source: 'github',
    where: compileCondition(`payload.repository.full_name == 'octo/shop-${serial}'`, ['event', 'payload', 'metadata']),
    targets: [agent.id],
    priority: null,
    mute: null,
  }
}
