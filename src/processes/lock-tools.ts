import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileBytesMax } from '../codex/files.ts'
import { loadCodex } from '../codex/load.ts'
import { problemLine } from '../codex/report.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import { openSource, readFolder } from '../codex/source.ts'
import { planLock, type ToolChange } from '../codex/tool-drift.ts'
import { renderToolLock, toolLockFile } from '../codex/tool-lock.ts'
import { connectorOf, hasOwnServer, toolUses } from '../codex/tool-use.ts'
import type { Settings } from '../config/settings.ts'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { variableOf } from '../llm/directory.ts'
import { mcpTools } from '../tools/mcp/mcp-tools.ts'
import type { ToolDescription } from '../tools/tools.ts'

export interface LockOptions {
  /** path or Git URL; written only where it is a folder */
  readonly url: string
  readonly settings: Pick<Settings, 'home'>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  /** names; empty: all that have a server of their own */
  readonly connectors: readonly string[]
  /** also what no agent uses */
  readonly all: boolean
  /** compare, write nothing */
  readonly check: boolean
  readonly now?: Date
}

export interface LockResult {
  readonly file: string
  readonly written: boolean
  /** true: the lock says what the servers offer */
  readonly ok: boolean
  readonly asked: readonly string[]
  readonly changes: readonly ToolChange[]
  readonly pinned: number
  /** offered, used by no agent, not pinned */
  readonly unused: readonly string[]
  /** servers that did not answer: their pins stay as they were */
  readonly failed: readonly { readonly connector: string; readonly why: string }[]
}

/**
 * Asks the tool servers of a Codex what they offer, compares it with `tools.lock.yaml`, and writes the file unless `check`.
 * @throws GUILD_CODEX_INVALID, GUILD_CODEX_UNAVAILABLE; GUILD_COMMAND_INVALID for a connector that has no server to be pinned
 */
export async function lockTools(options: LockOptions): Promise<LockResult> {
  const { url, check, all, now = new Date() } = options
  const { snapshot, folder } = await readCodex(options, now)
  const asked = chooseConnectors(snapshot, options.connectors)
  const { offered, failed } = await askServers(options, snapshot, asked)
  const used = new Set(
    [...snapshot.agents.values()].flatMap(({ manifest }) => toolUses(manifest).map(({ tool }) => tool)),
  )
  const plan = planLock({ pins: snapshot.toolPins, offered, used, all, today: now.toISOString().slice(0, 10) })
  // A pin whose connector is gone has nobody to answer for it.
  const pins = plan.pins.filter(({ name }) => hasOwnServer(snapshot.connectors.get(connectorOf(name))))
  const written = !check && (plan.changes.length > 0 || pins.length !== snapshot.toolPins.size)
  if (written) {
    if (folder === null) {
      const why = `${url} is no folder: run it in a clone of the Codex, or with --check`
      throw new GuildError('GUILD_COMMAND_INVALID', { why })
    }
    const text = renderToolLock(pins)
    if (Buffer.byteLength(text) > fileBytesMax) {
      const why = `the lock would be larger than ${fileBytesMax} bytes: leave out --all`
      throw new GuildError('GUILD_COMMAND_INVALID', { why })
    }
    await writeFile(join(folder, toolLockFile), text)
  }
  const broken = plan.changes.some(({ kind }) => kind === 'missing' || kind === 'refused')
  return {
    file: folder === null ? toolLockFile : join(folder, toolLockFile),
    written,
    ok: failed.length === 0 && (check ? plan.changes.length === 0 : !broken),
    asked,
    changes: plan.changes,
    pinned: pins.length,
    unused: plan.unused,
    failed,
  }
}

/** A folder as it lies there, so that a lock can be made before the first commit; anything else at its newest commit. */
async function readCodex(
  { url, settings }: LockOptions,
  now: Date,
): Promise<{ readonly snapshot: CodexSnapshot; readonly folder: string | null }> {
  const source = await openSource({ url, home: settings.home })
  const folder = source.remote || url.includes('#') ? null : source.shown
  const files = folder === null ? await source.read((await source.head()).commit) : await readFolder(folder)
  const { snapshot, problems } = loadCodex(files, { loadedAt: now })
  if (snapshot) return { snapshot, folder }
  const errors = problems.filter(({ severity }) => severity === 'error').map(problemLine)
  throw new GuildError('GUILD_CODEX_INVALID', {
    commit: files.commit,
    count: errors.length,
    first: errors[0] ?? 'unknown',
  })
}

function chooseConnectors({ connectors }: CodexSnapshot, named: readonly string[]): readonly string[] {
  const own = [...connectors].filter(([, file]) => hasOwnServer(file)).map(([name]) => name)
  const wrong = named.find((name) => !own.includes(name))
  if (wrong !== undefined) {
    const known = own.length > 0 ? `it is one of ${own.join(', ')}` : 'there is none'
    const why = `${wrong} is no connector with a tool server of its own; ${known}. Built-in servers are pinned by the version of guild`
    throw new GuildError('GUILD_COMMAND_INVALID', { why })
  }
  return named.length > 0 ? named : own
}

async function askServers(
  { env, log }: LockOptions,
  { connectors }: CodexSnapshot,
  asked: readonly string[],
): Promise<{
  readonly offered: ReadonlyMap<string, readonly ToolDescription[]>
  readonly failed: LockResult['failed']
}> {
  const offered = new Map<string, readonly ToolDescription[]>()
  const failed: { connector: string; why: string }[] = []
  await using session = mcpTools({ builtin: {}, variable: variableOf(env), log }).open(connectors)
  for (const connector of asked) {
    try {
      offered.set(connector, await session.list(connector))
    } catch (error) {
      failed.push({ connector, why: reasonOf(error) })
    }
  }
  return { offered, failed }
}
