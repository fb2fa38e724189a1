import type { ConnectorFile } from '../../codex/kinds.ts'
import type { Log } from '../../kernel/log.ts'
import type { Tools } from '../tools.ts'
import type { BuiltinServer } from './link.ts'
import { McpSession } from './mcp-session.ts'

export interface McpToolsDeps {
  /** `tools: {builtin: <name>}` of a connector → the server that answers in this process */
  readonly builtin: Readonly<Partial<Record<string, BuiltinServer>>>
  /** environment variables that connectors name */
  readonly variable: (name: string) => string | undefined
  readonly log: Log
  /** how long a server may take to start and shake hands; default 15 000 */
  readonly connectMs?: number
}

/** Reads through MCP servers: built-in (in process), over stdio, over streamable HTTP. One session, and one client, per run. */
export function mcpTools(deps: McpToolsDeps): Tools {
  return { open: (connectors: ReadonlyMap<string, ConnectorFile>) => new McpSession(connectors, deps) }
}
