import type { Documents } from './documents.ts'
import type { AgentManifest, ConnectorFile } from './kinds.ts'
import type { CodexSnapshot } from './snapshot.ts'

export interface ToolUse {
  /** `connector.tool` */
  readonly tool: string
  /** where the manifest names it */
  readonly path: readonly PropertyKey[]
  /** a run cannot do without */
  readonly required: boolean
}

/** Every tool a manifest names: context first, then what the model may call. */
export function toolUses({ spec }: AgentManifest): readonly ToolUse[] {
  return [
    ...spec.context.flatMap((item, index): readonly ToolUse[] =>
      'tool' in item ? [{ tool: item.tool, path: ['spec', 'context', index, 'tool'], required: item.required }] : [],
    ),
    ...spec.tools.allow.map(({ name }, index) => ({
      tool: name,
      path: ['spec', 'tools', 'allow', index],
      required: false,
    })),
  ]
}

/** Tools of servers that are not built in and that nobody has pinned: they are quarantined. */
export function unpinnedUses(manifest: AgentManifest, documents: Documents): readonly ToolUse[] {
  const pinned = new Set(documents.ToolLock.flatMap(({ value }) => value.spec.tools.map(({ name }) => name)))
  const servers = new Map(documents.Connector.map(({ value }) => [value.metadata.name, value]))
  return toolUses(manifest).filter(({ tool }) => !pinned.has(tool) && hasOwnServer(servers.get(connectorOf(tool))))
}

/** The same over a whole snapshot: `acme.search`, once each. */
export function unpinnedTools({ agents, connectors, toolPins }: CodexSnapshot): readonly string[] {
  const used = [...agents.values()].flatMap(({ manifest }) => toolUses(manifest).map(({ tool }) => tool))
  return [...new Set(used)]
    .filter((tool) => hasOwnServer(connectors.get(connectorOf(tool))) && !toolPins.has(tool))
    .toSorted()
}

/** Its tools are answered by somebody else's server, so that they must be pinned. */
export function hasOwnServer(connector: ConnectorFile | undefined): boolean {
  return connector?.spec.tools !== undefined && !('builtin' in connector.spec.tools)
}

export function connectorOf(tool: string): string {
  return tool.slice(0, tool.indexOf('.'))
}
