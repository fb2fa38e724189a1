import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stat } from 'node:fs/promises'
import { runCodexTests, type CodexTestResult } from './codex-test.ts'
import type { CodexFiles } from './files.ts'
import { loadCodex } from './load.ts'
import type { CodexProblem, CodexSnapshot } from './snapshot.ts'
import { openSource, readFolder, type CodexSource } from './source.ts'

export interface CodexLint {
  readonly commit: string
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
  const parent = await source.parent(files.commit, signal)
  const previous = parent === null ? null : await snapshotAt(source, parent, now, signal)
  const { snapshot, problems, tests } = loadCodex(files, { loadedAt: now, previous, actionTypes })
  const results = snapshot ? runCodexTests(snapshot, tests) : []
  const failed = results.flatMap(({ file, line, name, failures }) =>
    failures.map((failure): CodexProblem => ({ severity: 'error', file, line, message: `test ${name}: ${failure}` })),
  )
  return {
    commit: files.commit,
    problems: [...problems, ...failed],
    valid: snapshot !== null,
    agents: snapshot?.agents.size ?? 0,
    tests: results.length,
    results,
  }
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

async function snapshotAt(
  source: CodexSource,
  commit: string,
  loadedAt: Date,
  signal: AbortSignal | undefined,
): Promise<CodexSnapshot | null> {
  try {
    return loadCodex(await source.read(commit, signal), { loadedAt }).snapshot
  } catch {
    return null // the folder is new since then: there is nothing to compare with
  }
}
