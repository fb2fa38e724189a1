import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stat } from 'node:fs/promises'
import { runCodexTests, type CodexTestResult } from './codex-test.ts'
import { GuildError } from '../kernel/errors.ts'
import type { CodexFiles } from './files.ts'
import { loadCodex } from './load.ts'
import type { CodexProblem, CodexSnapshot } from './snapshot.ts'
import { openSource, readFolder, type CodexSource } from './source.ts'

export interface CodexLint {
  readonly commit: string
  /** the commit whose versions it was compared with; null: there is none, or its history is not here */
  readonly comparedWith: string | null
  /** errors and warnings by file and line; a failed test is an error, though the commit would serve */
  readonly problems: readonly CodexProblem[]
  /** true: it would serve */
  readonly valid: boolean
  /** how many there are */
  readonly agents: number
  readonly tests: number
  readonly results: readonly CodexTestResult[]
}

export interface LintOptions {
  /** where mirrors of Git URLs are kept; default: the temporary folder */
  readonly home?: string
  /** a branch, tag or commit to compare with, e.g. origin/main; default: the commit before */
  readonly base?: string
  readonly now?: Date
  readonly actionTypes?: readonly string[]
  readonly signal?: AbortSignal
}

/**
 * Says what is wrong before it is pushed, and runs the Codex's own tests. A folder is read as it lies there, committed or not, and
 * compared with its last commit; a URL, or a `#branch`, at its newest commit. @throws GUILD_CODEX_UNAVAILABLE
 */
export async function lintCodex(url: string, options: LintOptions = {}): Promise<CodexLint> {
  const { home = join(tmpdir(), 'guild-lint'), now = new Date(), actionTypes, signal } = options
  const source = await openSource({ url, home })
  const files = await newest(url, source, signal)
  const previous = await compared(source, files, options, now)
  const { snapshot, problems, tests } = loadCodex(files, {
    loadedAt: now,
    previous,
    actionTypes,
    versions: 'error',
    expiredWaivers: 'refuse',
  })
  const results = snapshot ? runCodexTests(snapshot, tests) : []
  const failed = results.flatMap(({ file, line, name, failures }) =>
    failures.map((failure): CodexProblem => ({ severity: 'error', file, line, message: `test ${name}: ${failure}` })),
  )
  return {
    commit: files.commit,
    comparedWith: previous?.commit ?? null,
    problems: [...problems, ...failed],
    valid: snapshot !== null,
    agents: snapshot?.agents.size ?? 0,
    tests: results.length,
    results,
  }
}

/** A folder as it lies there; anything else at its newest commit. @throws GUILD_CODEX_UNAVAILABLE */
export async function readNewest(url: string, home: string, signal?: AbortSignal): Promise<CodexFiles> {
  return newest(url, await openSource({ url, home }), signal)
}

async function newest(url: string, source: CodexSource, signal: AbortSignal | undefined): Promise<CodexFiles> {
  const isFolder = await stat(url).then(
    (found) => found.isDirectory(),
    () => false, // a URL, a path with a branch: the source has the last word
  )
  if (isFolder) return await readFolder(source.shown)
  const { commit } = await source.head(signal)
  return await source.read(commit, signal)
}

/** What the versions are compared with. A folder that is as it was committed is what is to be merged: it is compared with the commit before. */
async function compared(
  source: CodexSource,
  files: CodexFiles,
  { base, signal }: LintOptions,
  now: Date,
): Promise<CodexSnapshot | null> {
  if (base !== undefined) {
    const commit = await source.resolve(base, signal)
    if (commit !== null) return snapshotAt(source, commit, now, signal)
    throw new GuildError('GUILD_CODEX_UNAVAILABLE', { url: source.shown, why: `there is no commit ${base} here` })
  }
  const parent = await source.parent(files.commit, signal)
  if (parent === null) return null
  const before = await snapshotAt(source, parent, now, signal)
  if (!files.commit.startsWith('worktree-') || !(await same(source, parent, files, signal))) return before
  const grandparent = await source.parent(parent, signal)
  return grandparent === null ? null : snapshotAt(source, grandparent, now, signal)
}

async function same(
  source: CodexSource,
  commit: string,
  { files }: CodexFiles,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    const { files: before } = await source.read(commit, signal)
    return before.size === files.size && [...files].every(([path, text]) => before.get(path) === text)
  } catch {
    return false // the folder is new since then
  }
}

async function snapshotAt(
  source: CodexSource,
  commit: string,
  loadedAt: Date,
  signal: AbortSignal | undefined,
): Promise<CodexSnapshot | null> {
  try {
    return loadCodex(await source.read(commit, signal), { loadedAt, pinned: true }).snapshot
  } catch {
    return null // the folder is new since then: there is nothing to compare with
  }
}
