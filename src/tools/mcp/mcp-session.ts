import type { ConnectorFile } from '../../codex/kinds.ts'
import { GuildError, reasonOf } from '../../kernel/errors.ts'
import type { ToolCallOptions, ToolDescription, ToolResult, ToolSession } from '../tools.ts'
import type { Connection } from './connection.ts'
import { Deadline } from './deadline.ts'
import { isLost } from './lost.ts'
import type { McpToolsDeps } from './mcp-tools.ts'

interface Limits {
  readonly signal: AbortSignal
  readonly timeoutMs: number
}

/** The connections of one run: opened when first needed, dropped when lost or hung, closed with the run. */
export class McpSession implements ToolSession {
  readonly #connectors: ReadonlyMap<string, ConnectorFile>
  readonly #deps: McpToolsDeps
  readonly #open = new Map<string, Connection>()
  readonly #closing = new Set<Promise<void>>()
  readonly #ended = new AbortController()

  constructor(connectors: ReadonlyMap<string, ConnectorFile>, deps: McpToolsDeps) {
    this.#connectors = connectors
    this.#deps = deps
  }

  async list(connector: string): Promise<readonly ToolDescription[]> {
    const limits = { signal: this.#ended.signal, timeoutMs: this.#connectMs }
    return this.#read(connector, connector, limits, (connection, signal) => connection.list(signal))
  }

  async call(name: string, args: Readonly<Record<string, unknown>>, limits: ToolCallOptions): Promise<ToolResult> {
    const dot = name.indexOf('.')
    const [connector, tool] = [name.slice(0, dot), name.slice(dot + 1)]
    return this.#read(connector, name, limits, async (connection, signal) => {
      // Also when this is the repetition on a new connection: what was agreed to was offered by the old one.
      if (limits.admit) limits.admit(await connection.offered(signal))
      return connection.call(tool, args, signal)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new Error('the tool session has ended'))
    for (const [connector, connection] of this.#open) this.#drop(connector, connection, 'politely')
    while (this.#closing.size > 0) await Promise.all(this.#closing)
  }

  /** Uses the connector's connection; a lost one is replaced once and the read repeated, as reads may be. */
  async #read<T>(
    connector: string,
    tool: string,
    limits: Limits,
    use: (connection: Connection, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const signal = AbortSignal.any([limits.signal, this.#ended.signal])
    signal.throwIfAborted()
    using deadline = new Deadline(signal, limits.timeoutMs)
    for (let attempt = 1; ; attempt++) {
      const connection = await this.#connection(connector, tool)
      try {
        await deadline.race(connection.ready())
        return await deadline.race(use(connection, deadline.signal))
      } catch (error) {
        signal.throwIfAborted()
        if (deadline.passed) {
          // It may never answer anything again: the next read starts with a fresh one.
          this.#drop(connector, connection, 'at once')
          throw new GuildError('GUILD_TOOL_TIMEOUT', { tool, ms: limits.timeoutMs })
        }
        if (!isLost(error)) throw error
        this.#drop(connector, connection, 'at once')
        if (attempt > 1) {
          throw new GuildError('GUILD_TOOL_UNAVAILABLE', { connector, why: reasonOf(error) }, { cause: error })
        }
        this.#deps.log.warn({ connector, tool, why: reasonOf(error) }, 'tool server lost, connecting again')
      }
    }
  }

  async #connection(name: string, tool: string): Promise<Connection> {
    const connector = this.#connectors.get(name)
    if (!connector?.spec.tools) throw new GuildError('GUILD_TOOL_UNKNOWN', { tool })
    // Loaded by the first call: runs without tools do not pay for the SDK.
    const { Connection } = await import('./connection.ts')
    this.#ended.signal.throwIfAborted()
    const open = this.#open.get(name) ?? new Connection(name, connector, { ...this.#deps, connectMs: this.#connectMs })
    this.#open.set(name, open)
    return open
  }

  #drop(name: string, connection: Connection, how: 'at once' | 'politely'): void {
    // Parallel reads that shared it drop it once; a successor stays.
    if (this.#open.get(name) === connection) this.#open.delete(name)
    const closing = connection
      .close(how)
      .catch((error: unknown) =>
        this.#deps.log.warn({ connector: name, why: reasonOf(error) }, 'tool server not closed'),
      )
      .finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  get #connectMs(): number {
    return this.#deps.connectMs ?? 15_000
  }
}
