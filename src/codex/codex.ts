import type { Clock } from '../kernel/clock.ts'
import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import type { CodexFiles } from './files.ts'
import { loadCodex, type LoadedCodex } from './load.ts'
import { problemLine } from './report.ts'
import type { Codex, CodexProblem, CodexSnapshot } from './snapshot.ts'
import { openSource, type CodexHead, type CodexSource } from './source.ts'
import { CodexStore } from './store.ts'

export interface GitCodexOptions {
  /** path or Git URL, `#branch` */
  readonly url: string
  /** GUILD_HOME */
  readonly home: string
  readonly refreshMs: number
  readonly log: Log
  readonly clock: Clock
  /** all action types there are; others in manifests become errors */
  readonly actionTypes?: readonly string[]
  /**
   * Called before a snapshot begins to serve, also for the first one. While it rejects, the old one serves and the change is tried
   * again: no run can be pinned to a commit whose rows do not exist.
   */
  readonly onChange?: (snapshot: CodexSnapshot) => Promise<void>
  /** Called once per invalid commit; the last good one goes on serving. */
  readonly onInvalid?: (commit: string, problems: readonly CodexProblem[]) => Promise<void>
}

const snapshotsMax = 16
const remoteRefreshMsMin = 15_000

/** The Codex of one Git repository or folder: the newest valid commit serves, older ones can be had for pinned runs. */
export class GitCodex implements Codex, Service {
  readonly name = 'codex'
  readonly #options: GitCodexOptions
  readonly #source: CodexSource
  readonly #store: CodexStore
  readonly #snapshots = new Map<string, Promise<CodexSnapshot>>()
  #current: CodexSnapshot
  #content: string
  #invalid: { readonly content: string; readonly commit: string; readonly problems: readonly CodexProblem[] } | null
  #failure: string | null = null

  private constructor(options: GitCodexOptions, source: CodexSource, store: CodexStore, first: First) {
    this.#options = options
    this.#source = source
    this.#store = store
    this.#current = first.snapshot
    this.#content = first.content
    this.#invalid = first.invalid
    this.#remember(first.snapshot)
  }

  /**
   * Resolves with a snapshot that serves: the newest commit, or, when that is invalid or cannot be reached, the one that served last.
   * @throws GUILD_CODEX_INVALID with the lines in `problems`; GUILD_CODEX_UNAVAILABLE
   */
  static async open(options: GitCodexOptions, signal?: AbortSignal): Promise<GitCodex> {
    const store = new CodexStore(options.home, options.url)
    const source = await openSource(options)
    const first = await readFirst(options, source, store, signal)
    await options.onChange?.(first.snapshot)
    if (first.invalid) await options.onInvalid?.(first.invalid.commit, first.invalid.problems)
    return new GitCodex(options, source, store, first)
  }

  current(): CodexSnapshot {
    return this.#current
  }

  async at(commit: string): Promise<CodexSnapshot> {
    const known = this.#snapshots.get(commit)
    if (known) {
      this.#snapshots.delete(commit)
      this.#snapshots.set(commit, known)
      return await known
    }
    const loading = this.#loadPinned(commit)
    this.#keep(commit, loading)
    try {
      return await loading
    } catch (error) {
      this.#snapshots.delete(commit) // a failure is not remembered: the repository may come back
      throw error
    }
  }

  problems(): { readonly commit: string; readonly problems: readonly CodexProblem[] } | null {
    return this.#invalid && { commit: this.#invalid.commit, problems: this.#invalid.problems }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, refreshMs } = this.#options
    const everyMs = this.#source.remote ? Math.max(refreshMs, remoteRefreshMsMin) : Math.max(refreshMs, 100)
    while (!signal.aborted) {
      await clock.sleep(everyMs, signal)
      if (!signal.aborted) await this.refresh(signal)
    }
  }

  /** Looks for a new commit once; true: another one serves now. Never rejects: the last good snapshot goes on. */
  async refresh(signal?: AbortSignal): Promise<boolean> {
    const { log } = this.#options
    try {
      const changed = await this.#refresh(signal)
      if (this.#failure !== null) log.info({ codex: this.#source.shown }, 'codex can be read again')
      this.#failure = null
      return changed
    } catch (error) {
      if (signal?.aborted) return false
      const why = reasonOf(error)
      // Every few seconds the same line would bury the others.
      if (why !== this.#failure) log.warn({ codex: this.#source.shown, why }, 'codex cannot be refreshed')
      this.#failure = why
      return false
    }
  }

  async #refresh(signal: AbortSignal | undefined): Promise<boolean> {
    const { log, onChange, onInvalid } = this.#options
    const head = await this.#source.head(signal)
    if (head.content === this.#content) {
      this.#invalid = null // the wrong commit was reverted
      return false
    }
    if (head.content === this.#invalid?.content) return false
    const files = await this.#source.read(head.commit, signal)
    const { snapshot, problems } = load(files, this.#options, this.#current)
    if (!snapshot) {
      await onInvalid?.(head.commit, problems)
      this.#invalid = { content: head.content, commit: head.commit, problems }
      log.error(
        { commit: head.commit, problems: problems.map(problemLine) },
        'codex commit refused, the last good serves',
      )
      return false
    }
    await this.#store.put(files)
    await onChange?.(snapshot)
    this.#current = snapshot
    this.#content = head.content
    this.#invalid = null
    this.#remember(snapshot)
    log.info({ commit: snapshot.commit, agents: snapshot.agents.size }, 'codex commit serves')
    return true
  }

  async #loadPinned(commit: string): Promise<CodexSnapshot> {
    const files = (await this.#store.get(commit)) ?? (await this.#source.read(commit))
    // It served once: an action type that this version has dropped must not stop the run before it asks for it.
    const { snapshot, problems } = loadCodex(files, { loadedAt: this.#options.clock.now(), pinned: true })
    if (!snapshot) throw invalid(commit, problems)
    return snapshot
  }

  #remember(snapshot: CodexSnapshot): void {
    this.#keep(snapshot.commit, Promise.resolve(snapshot))
  }

  #keep(commit: string, snapshot: Promise<CodexSnapshot>): void {
    this.#snapshots.set(commit, snapshot)
    const [oldest] = this.#snapshots.keys()
    if (this.#snapshots.size > snapshotsMax && oldest !== undefined) this.#snapshots.delete(oldest)
  }
}

interface First {
  readonly snapshot: CodexSnapshot
  readonly content: string
  readonly invalid: {
    readonly content: string
    readonly commit: string
    readonly problems: readonly CodexProblem[]
  } | null
}

async function readFirst(
  options: GitCodexOptions,
  source: CodexSource,
  store: CodexStore,
  signal: AbortSignal | undefined,
): Promise<First> {
  let head: CodexHead
  let files: CodexFiles
  try {
    head = await source.head(signal)
    files = await source.read(head.commit, signal)
  } catch (error) {
    const last = isGuildError(error, 'GUILD_CODEX_UNAVAILABLE') ? await readLast(options, store) : null
    if (!last) throw error
    options.log.warn({ commit: last.commit, why: reasonOf(error) }, 'codex cannot be reached, the last good serves')
    return { snapshot: last, content: '', invalid: null }
  }
  const { snapshot, problems } = load(files, options, null)
  if (snapshot) {
    await store.put(files)
    return { snapshot, content: head.content, invalid: null }
  }
  const last = await readLast(options, store)
  if (!last) throw invalid(head.commit, problems)
  options.log.error(
    { commit: head.commit, problems: problems.map(problemLine) },
    'codex commit refused, the last good serves',
  )
  return { snapshot: last, content: '', invalid: { content: head.content, commit: head.commit, problems } }
}

async function readLast(options: GitCodexOptions, store: CodexStore): Promise<CodexSnapshot | null> {
  const commit = await store.lastGood()
  const files = commit === null ? null : await store.get(commit)
  return files && load(files, options, null).snapshot
}

function load(files: CodexFiles, { clock, actionTypes }: GitCodexOptions, previous: CodexSnapshot | null): LoadedCodex {
  return loadCodex(files, { loadedAt: clock.now(), previous, actionTypes })
}

function invalid(commit: string, problems: readonly CodexProblem[]): GuildError {
  const errors = problems.filter(({ severity }) => severity === 'error').map(problemLine)
  return new GuildError('GUILD_CODEX_INVALID', {
    commit,
    count: errors.length,
    first: errors[0] ?? 'unknown',
    problems: errors.slice(0, 50).join('\n'),
  })
}
