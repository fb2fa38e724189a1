import type { CodexSnapshot } from '../codex/snapshot.ts'
import { admitTool, type QuarantinedTool } from '../guards/tool-policy.ts'
import { backoffMs } from '../kernel/backoff.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError, isGuildError } from '../kernel/errors.ts'
import type { ToolDescription, ToolResult, Tools, ToolSession } from '../tools/tools.ts'

const retriesMax = 2
const retry = { baseMs: 250, maxMs: 2_000 } as const
/** Longer work is an action (design: runs 6). */
const inlineTimeoutMsMax = 60_000

/** A server may change its tools without a word; a model call and its reads share one look at them. */
const lookMsMax = 5_000
/** One dead server costs a run its retries once, not at every model call. */
const failureMsMax = 60_000

export interface ToolReaderDeps {
  readonly tools: Tools
  /** of the pinned Codex: connectors, and what a person has agreed to */
  readonly snapshot: Pick<CodexSnapshot, 'connectors' | 'toolPins'>
  readonly clock: Clock
  readonly random: () => number
  /** told once per tool, for the records */
  readonly onQuarantine: (tool: QuarantinedTool) => void
}

interface Look {
  readonly list: Promise<readonly ToolDescription[]>
  readonly atMs: number
  failed: boolean
}

/** Reads of one run: connects when first needed, asks again on transport failure only, uses only reads, and only as they were pinned. */
export class ToolReader implements AsyncDisposable {
  readonly #deps: ToolReaderDeps
  #session: ToolSession | null = null
  readonly #looks = new Map<string, Look>()
  readonly #quarantined = new Set<string>()

  constructor(deps: ToolReaderDeps) {
    this.#deps = deps
  }

  /** @throws GUILD_TOOL_UNKNOWN, GUILD_TOOL_QUARANTINED; GUILD_TOOL_NOT_READ_ONLY: a run only reads (law 3) */
  async describe(name: string, signal: AbortSignal): Promise<ToolDescription> {
    return this.#admit(name, await this.#look(name.slice(0, name.indexOf('.')), signal))
  }

  /** At most two retries, on transport failure only; a tool that answers with an error has answered. */
  async read(
    name: string,
    args: Readonly<Record<string, unknown>>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ToolResult> {
    await this.describe(name, signal)
    const options = {
      signal,
      timeoutMs: Math.min(timeoutMs, inlineTimeoutMsMax),
      admit: (offered: readonly ToolDescription[]) => void this.#admit(name, offered),
    }
    return this.#retrying(signal, () => this.#open().call(name, args, options))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session?.[Symbol.asyncDispose]()
  }

  #open(): ToolSession {
    this.#session ??= this.#deps.tools.open(this.#deps.snapshot.connectors)
    return this.#session
  }

  #look(connector: string, signal: AbortSignal): Promise<readonly ToolDescription[]> {
    const nowMs = this.#deps.clock.now().getTime()
    const before = this.#looks.get(connector)
    if (before && nowMs - before.atMs < (before.failed ? failureMsMax : lookMsMax)) return before.list
    const look: Look = {
      list: this.#retrying(signal, () => this.#open().list(connector)).catch((error: unknown) => {
        look.failed = true
        throw error
      }),
      atMs: nowMs,
      failed: false,
    }
    this.#looks.set(connector, look)
    return look.list
  }

  #admit(name: string, offered: readonly ToolDescription[]): ToolDescription {
    const found = offered.find((tool) => tool.name === name)
    if (!found) throw new GuildError('GUILD_TOOL_UNKNOWN', { tool: name })
    const { connectors, toolPins } = this.#deps.snapshot
    const verdict = admitTool(found, toolPins.get(name), connectors.get(name.slice(0, name.indexOf('.'))))
    if (verdict.kind === 'read') return found
    if (verdict.kind === 'write') throw new GuildError('GUILD_TOOL_NOT_READ_ONLY', { tool: name })
    const { why, have, pinned } = verdict
    const quarantined = { tool: name, why, have, pinned }
    if (!this.#quarantined.has(name)) this.#deps.onQuarantine(quarantined)
    this.#quarantined.add(name)
    throw new GuildError('GUILD_TOOL_QUARANTINED', quarantined)
  }

  async #retrying<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        signal.throwIfAborted()
        if (attempt > retriesMax || !isGuildError(error, 'GUILD_TOOL_UNAVAILABLE')) throw error
        await this.#deps.clock.sleep(backoffMs(attempt, retry, this.#deps.random(), error.retryAfterMs), signal)
      }
    }
  }
}
