import type { ConnectorFile } from '../codex/kinds.ts'
import type { Integrity } from '../kernel/event.ts'

export interface ToolDescription {
  /** `connector.tool` */
  readonly name: string
  readonly description: string
  readonly inputSchema: object
  /** MCP annotation `readOnlyHint`; a hint from the server, trusted only for built-in servers until tool locks exist */
  readonly readOnly: boolean
}

export interface ToolResult {
  readonly isError: boolean
  readonly text: string
  /** parsed `structuredContent`, or the text parsed as JSON where it is JSON; else null */
  readonly data: unknown
  readonly truncated: boolean
  readonly integrity: Integrity
}

/**
 * Reads through MCP for one invocation. A server that restarts mid-run is reconnected once per call, and the read repeated; a server
 * that hangs is cut off at the timeout (GUILD_TOOL_TIMEOUT, connection dropped); a result is cut at `resultBytesMax`.
 */
export interface ToolSession extends AsyncDisposable {
  list(connector: string): Promise<readonly ToolDescription[]>
  call(
    name: string,
    args: Readonly<Record<string, unknown>>,
    options: { readonly signal: AbortSignal; readonly timeoutMs: number },
  ): Promise<ToolResult>
}

export interface Tools {
  /** Connects lazily; `connectors` are those of the pinned snapshot. */
  open(connectors: ReadonlyMap<string, ConnectorFile>): ToolSession
}

export const resultBytesMax = 256 * 1024
