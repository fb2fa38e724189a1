import type { ConnectorFile } from '../codex/kinds.ts'
import type { Integrity } from '../kernel/event.ts'

export interface ToolDescription {
  /** `connector.tool` */
  readonly name: string
  readonly description: string
  readonly inputSchema: object
  readonly outputSchema?: object | undefined
  /** MCP annotations as the server gave them, e.g. `readOnlyHint`: hints, which count only once a person has pinned them */
  readonly annotations?: object | undefined
  /** its server is part of this build, which pins it; any other must be pinned in `tools.lock.yaml` */
  readonly builtin: boolean
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
  call(name: string, args: Readonly<Record<string, unknown>>, options: ToolCallOptions): Promise<ToolResult>
}

export interface ToolCallOptions {
  readonly signal: AbortSignal
  readonly timeoutMs: number
  /**
   * Looks at what the server offers on every connection that has not been looked at, before the call goes out: a server that restarts
   * in the middle of a run may come back with other tools. Throws to refuse.
   */
  readonly admit?: (offered: readonly ToolDescription[]) => void
}

export interface Tools {
  /** Connects lazily; `connectors` are those of the pinned snapshot. */
  open(connectors: ReadonlyMap<string, ConnectorFile>): ToolSession
}

export const resultBytesMax = 256 * 1024
