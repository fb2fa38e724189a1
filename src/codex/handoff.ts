import type { CodexDocument } from './documents.ts'
import type { AgentManifest } from './kinds.ts'
import { unknownName } from './nearest.ts'
import type { Report } from './report.ts'
import { agentOfType } from './route.ts'
import type { CodexSnapshot, CompiledAgent } from './snapshot.ts'

/** The name under which models and rules hand work on. */
export const handoffTool = 'HANDOFF'

/** Every receiver must exist, and be somebody else. */
export function checkHandoff(
  { yaml, value }: CodexDocument<AgentManifest>,
  agents: readonly CodexDocument<AgentManifest>[],
  report: Report,
): void {
  const known = [...new Set(agents.flatMap((agent) => [agent.value.metadata.name, agent.value.metadata.type]))]
  for (const [index, name] of (value.spec.handoff?.to ?? []).entries()) {
    const path = ['spec', 'handoff', 'to', index]
    if (!known.includes(name)) report.error(yaml, path, unknownName('agent or agent type', name, known.toSorted()))
    else if (name === value.metadata.name) report.error(yaml, path, 'an agent hands nothing to itself')
  }
}

/** Whom a name means: the agent of this name, else the one of this type that serves the chapter. */
export function receiverOf(snapshot: CodexSnapshot, name: string, chapter: string | null): CompiledAgent | null {
  return snapshot.agents.get(name) ?? agentOfType(snapshot, name, chapter)
}
