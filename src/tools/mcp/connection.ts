import { AsyncLocalStorage } from 'node:async_hooks'
import { Client, ProtocolError, SdkError, SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client'
import type { ConnectorFile } from '../../codex/kinds.ts'
import { GuildError, reasonOf } from '../../kernel/errors.ts'
import type { ToolDescription, ToolResult } from '../tools.ts'
import { tooLargeCode } from './child-transport.ts'
import type { CallWatch } from './capped-fetch.ts'
import { linkOf } from './link.ts'
import type { Link, LinkDeps } from './link.ts'
import { ConnectionLost } from './lost.ts'
import { tooLargeResult, toolResult } from './result.ts'

/** Lists longer than this are a mistake or an attack. */
const listPagesMax = 8
const toolsMax = 500
/** After the end of an answer's stream: time for the SDK to hand its last message over. */
const settleMs = 250

const watched = new AsyncLocalStorage<CallWatch>()

export interface ConnectionDeps extends LinkDeps {
  readonly connectMs: number
}

/** One MCP client on one server. Not reused after a loss: the session replaces it. */
export class Connection {
  readonly #name: string
  readonly #deps: ConnectionDeps
  readonly #connector: ConnectorFile
  readonly #client: Client
  #link: Link | null = null
  #ready: Promise<void> | null = null
  #offered: Promise<readonly ToolDescription[]> | null = null

  constructor(name: string, connector: ConnectorFile, deps: ConnectionDeps) {
    this.#name = name
    this.#connector = connector
    this.#deps = deps
    const auto = connector.spec.tools !== undefined && 'url' in connector.spec.tools
    this.#client = new Client(
      { name: 'guild', version: '1' },
      {
        // No sampling, no elicitation, no roots: a server gets nothing from us but the call.
        capabilities: {},
        inputRequired: { autoFulfill: false },
        listMaxPages: listPagesMax,
        // Probing a stdio server for the newer era costs a second process and some never answer; HTTP servers are asked.
        versionNegotiation: { mode: auto ? 'auto' : 'legacy' },
        // A server's own output schema proves nothing to us, and compiling it would run its patterns.
        jsonSchemaValidator: {
          getValidator: () => (input) => ({ valid: true, data: input as never, errorMessage: undefined }),
        },
      },
    )
  }

  /** Connects once; later callers share the outcome. @throws ConnectionLost, GUILD_TOOL_UNAVAILABLE */
  ready(): Promise<void> {
    // Outside of any call's watch: the connection outlives the call that opened it.
    this.#ready ??= watched.exit(() => this.#connect())
    return this.#ready
  }

  async list(signal: AbortSignal): Promise<readonly ToolDescription[]> {
    try {
      const { tools } = await this.#client.listTools(undefined, { signal, timeout: maxTimerMs })
      if (tools.length > toolsMax) throw this.#tooMany(tools.length)
      const builtin = this.#link?.trusted ?? false
      return tools.map((tool) => ({
        name: `${this.#name}.${tool.name}`,
        description: tool.description ?? tool.title ?? '',
        inputSchema: tool.inputSchema,
        outputSchema: tool.outputSchema,
        annotations: tool.annotations,
        builtin,
      }))
    } catch (error) {
      throw this.#translate(error, this.#name)
    }
  }

  /** Lists once for whoever asks; a connection that is lost is replaced, and its successor asked anew. */
  offered(signal: AbortSignal): Promise<readonly ToolDescription[]> {
    this.#offered ??= this.list(signal).catch((error: unknown) => {
      this.#offered = null
      throw error
    })
    return this.#offered
  }

  async call(tool: string, args: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<ToolResult> {
    const outcome = Promise.withResolvers<ToolResult>()
    let settle: NodeJS.Timeout | undefined
    const watch: CallWatch = {
      tooLarge: () => outcome.resolve(tooLargeResult()),
      // The SDK waits for ever when the stream of an answer ends without one.
      ended: () => {
        settle = setTimeout(() => outcome.reject(new ConnectionLost('the answer ended in the middle')), settleMs)
      },
    }
    watched
      .run(watch, () => this.#client.callTool({ name: tool, arguments: { ...args } }, { signal, timeout: maxTimerMs }))
      .then((result) => toolResult(result, this.#link?.trusted ? null : this.#connector.spec.integrity))
      .then(outcome.resolve, outcome.reject)
    try {
      return await outcome.promise
    } catch (error) {
      return this.#failed(error, `${this.#name}.${tool}`)
    } finally {
      clearTimeout(settle)
    }
  }

  async close(how: 'at once' | 'politely'): Promise<void> {
    await this.#link?.end(how)
    await this.#client.close()
  }

  async #connect(): Promise<void> {
    const { connectMs: timeout } = this.#deps
    try {
      this.#link = linkOf(this.#name, this.#connector, this.#deps, () => watched.getStore())
      await this.#link.begin?.()
      await this.#client.connect(this.#link.transport, { timeout })
    } catch (error) {
      if (error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout) {
        throw new ConnectionLost(`no handshake within ${timeout} ms`)
      }
      throw this.#translate(error, this.#name)
    }
  }

  /** What the server refused is for the model to read; what the line did is for the session. */
  #failed(error: unknown, tool: string): ToolResult {
    if (error instanceof ProtocolError) {
      if (error.code === tooLargeCode) return tooLargeResult()
      return {
        isError: true,
        text: error.message,
        data: null,
        truncated: false,
        integrity: this.#link?.trusted ? 'member' : this.#connector.spec.integrity,
      }
    }
    throw this.#translate(error, tool)
  }

  #tooMany(count: number): GuildError {
    const why = `it offers ${count} tools, at most ${toolsMax} are read`
    return new GuildError('GUILD_TOOL_UNAVAILABLE', { connector: this.#name, why })
  }

  #translate(error: unknown, tool: string): Error {
    if (error instanceof GuildError || error instanceof ConnectionLost) return error
    const why = this.#why(error)
    if (isRefused(error)) return new GuildError('GUILD_TOOL_UNAVAILABLE', { connector: this.#name, why })
    if (isLine(error)) return new ConnectionLost(why)
    return new GuildError('GUILD_TOOL_FAILED', { tool, why })
  }

  /**
   * The reason in words; of a child process how it ended, of a fetch what the socket said. Never the server's own words: errors are
   * told to the model as ours, unfenced, while anybody may have written what a server says.
   */
  #why(error: unknown): string {
    const first = root(error)
    for (const one of [error, first]) {
      if (one instanceof SdkHttpError) return `it answered ${one.status ?? 'something'} over HTTP`
      if (one instanceof ProtocolError) return `it answered with the error ${one.code}`
    }
    const epitaph = this.#link?.epitaph?.()
    if (epitaph !== undefined) return epitaph.slice(0, 300)
    return quotes(first) ? 'its answer is not what the protocol says' : reasonOf(first).slice(0, 300)
  }
}

/** The SDK's own timer is never the one that fires: the largest Node takes. */
const maxTimerMs = 2_147_483_647

/** Errors about an answer quote it: a content type, a member's name, the text that is no JSON. */
function quotes(error: unknown): boolean {
  if (error instanceof SdkError) return quoting.has(error.code)
  return error instanceof SyntaxError || (error instanceof Error && error.name.endsWith('ZodError'))
}

const quoting: ReadonlySet<string> = new Set([
  SdkErrorCode.ClientHttpUnexpectedContent,
  SdkErrorCode.InvalidResult,
  SdkErrorCode.EraNegotiationFailed,
])

/** What began it: `fetch failed` says less than the socket's own words. */
function root(error: unknown): unknown {
  let found = error
  for (let depth = 0; depth < 5; depth++) {
    const next = causeOf(found)
    if (!(next instanceof Error) || next.message === '') return found
    found = next
  }
  return found
}

function causeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined
  const data = error instanceof SdkError ? error.data : undefined
  return error.cause ?? (typeof data === 'object' && data !== null && 'cause' in data ? data.cause : undefined)
}

function isRefused(error: unknown): boolean {
  if (error instanceof SdkHttpError) return error.status === 401 || error.status === 403
  return error instanceof Error && error.name === 'UnauthorizedError'
}

const lineCodes: readonly string[] = [
  SdkErrorCode.ConnectionClosed,
  SdkErrorCode.NotConnected,
  SdkErrorCode.SendFailed,
  SdkErrorCode.EraNegotiationFailed,
]

/** Failures of the way there and back, including an HTTP session the restarted server does not know (404, some say 400). */
function isLine(error: unknown): boolean {
  if (error instanceof SdkHttpError) {
    return error.status === undefined || error.status === 400 || error.status === 404 || error.status >= 500
  }
  if (error instanceof SdkError) return lineCodes.includes(error.code)
  // fetch failed, EPIPE, ENOENT of a command
  return error instanceof TypeError || (error instanceof Error && 'code' in error && typeof error.code === 'string')
}
