import type { CodexSnapshot } from '../codex/snapshot.ts'
import { backoffMs } from '../kernel/backoff.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, isGuildError } from '../kernel/errors.ts'
import type { ToolDescription, ToolResult, Tools, ToolSession } from '../tools/tools.ts'

const retriesMax = 2
const retry = { baseMs: 250, maxMs: 2_000 } as const
/** Longer work is an action (design: runs 6). */
const inlineTimeoutMsMax = 60_000

/** Reads of one run: connects when first needed, asks again on transport failure only, refuses what does not declare itself a read. */
export class ToolReader implements AsyncDisposable {
  readonly #tools: Tools
  readonly #connectors: CodexSnapshot['connectors']
  readonly #clock: Clock
  readonly #random: () => number
  #session: ToolSession | null = null
  readonly #lists = new Map<string, Promise<readonly ToolDescription[]>>()

  constructor(tools: Tools, connectors: CodexSnapshot['connectors'], clock: Clock, random: () => number) {
    this.#tools = tools
    this.#connectors = connectors
    this.#clock = clock
    this.#random = random
  }

  /** @throws GUILD_TOOL_UNKNOWN, also for a tool that may write: a run only reads (law 3) */
  async describe(name: string, signal: AbortSignal): Promise<ToolDescription> {
    const connector = name.slice(0, name.indexOf('.'))
    let list = this.#lists.get(connector)
    if (!list) {
      list = this.#retrying(signal, () => this.#open().list(connector))
      // A failure is remembered too: one dead server costs a run its retries once, not at every model call.
      this.#lists.set(connector, list)
    }
    const found = (await list).find((tool) => tool.name === name)
    if (!found) throw new GuildError('GUILD_TOOL_UNKNOWN', { tool: name })
    if (!found.readOnly) throw new GuildError('GUILD_TOOL_NOT_READ_ONLY', { tool: name })
    return found
  }

  /** At most two retries, on transport failure only; a tool that answers with an error has answered. */
  async read(
    name: string,
    args: Readonly<Record<string, unknown>>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ToolResult> {
    await this.describe(name, signal)
    const options = { signal, timeoutMs: Math.min(timeoutMs, inlineTimeoutMsMax) }
    return this.#retrying(signal, () => this.#open().call(name, args, options))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]()
  }

  #open(): ToolSession {
    this.#session ??= this.#tools.open(this.#connectors)
    return this.#session
  }

  async #retrying<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        signal.throwIfAborted()
        if (attempt > retriesMax || !isGuildError(error, 'GUILD_TOOL_UNAVAILABLE')) throw error
        await this.#clock.sleep(backoffMs(attempt, retry, this.#random(), error.retryAfterMs), signal)
      }
    }
  }
}
