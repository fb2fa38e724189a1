/** The seed's topics (§2.3). Names are public. */
export const topics = {
  inbound: 'guild.events.inbound',
  actions: 'guild.actions.outbound',
  notifications: 'guild.notifications',
  audit: 'guild.audit.log',
  dead: 'guild.dead',
} as const

const agentPrefix = 'guild.events.agent.'

/** `guild.events.agent.{agent_id}` */
export function agentTopic(agentId: string): string {
  return `${agentPrefix}${agentId}`
}

/** Matches the topic of every agent, also of those that do not exist yet. */
export const everyAgentTopic = `${agentPrefix}*`
