import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import { sha256 } from '../kernel/ids.ts'
import { codexFolders, rootFiles } from './documents.ts'
import { codexBytesMax, decodeFiles, filesMax, selectFiles, type CodexFiles, type Found } from './files.ts'
import { type GitFolders, headStamp } from './head-stamp.ts'
import { blobsOf, commitOf, entriesOf, git, GitFailure, isRemote, treeOf, withoutCredentials } from './git.ts'

export interface CodexHead {
  readonly commit: string
  /** what the commit holds of the Codex: two commits with the same content have the same one */
  readonly content: string
}

/** Where commits of a Codex come from. All reject with GUILD_CODEX_UNAVAILABLE. */
export interface CodexSource {
  /** for people: without credentials */
  readonly shown: string
  /** each look costs the network something */
  readonly remote: boolean
  head(signal?: AbortSignal): Promise<CodexHead>
  read(commit: string, signal?: AbortSignal): Promise<CodexFiles>
  /** the commit before; null: there is none, or no history here */
  parent(commit: string, signal?: AbortSignal): Promise<string | null>
  /** the commit that a branch, tag or short id names; null: none here */
  resolve(revision: string, signal?: AbortSignal): Promise<string | null>
}

/**
 * A path (a repository, a folder inside one, or a plain folder) or a Git URL, each with an optional `#branch`.
 * A URL is fetched into a bare mirror below `home`.
 */
export async function openSource({ url, home }: { url: string; home: string }): Promise<CodexSource> {
  const hash = url.lastIndexOf('#')
  const place = hash > 0 ? url.slice(0, hash) : url
  const branch = hash > 0 ? url.slice(hash + 1) : null
  if (branch !== null && !/^(?![-/.])(?!.*(\.\.|@\{|\/\/))[\w./@+-]{1,200}$/.test(branch)) {
    throw new GuildError('GUILD_CODEX_UNAVAILABLE', { url: withoutCredentials(url), why: `“${branch}” is no branch` })
  }
  if (isRemote(place)) {
    const dir = join(resolve(home), 'codex', `mirror-${sha256(place).slice(0, 16)}.git`)
    return new MirrorSource(place, branch, dir)
  }
  try {
    // A link to a folder (as temporary folders often are) would give git another prefix than ours.
    return new FolderSource(await realpath(resolve(place)), branch)
  } catch (error) {
    throw new GuildError('GUILD_CODEX_UNAVAILABLE', { url: place, why: 'there is no such folder' }, { cause: error })
  }
}

const fetchMsMax = 120_000

/** A remote repository, as a bare mirror that we own. */
class MirrorSource implements CodexSource {
  readonly shown: string
  readonly remote: boolean
  readonly #url: string
  readonly #branch: string | null
  readonly #dir: string
  #known: CodexHead | null = null

  constructor(url: string, branch: string | null, dir: string) {
    this.shown = withoutCredentials(url)
    this.remote = !url.startsWith('file:')
    this.#url = url
    this.#branch = branch
    this.#dir = dir
  }

  async head(signal?: AbortSignal): Promise<CodexHead> {
    return await guarded(this.shown, async () => {
      const from = this.#branch === null ? 'HEAD' : `refs/heads/${this.#branch}`
      if (this.#known && (await this.#remoteCommit(from, signal)) === this.#known.commit) return this.#known
      await this.#ensureMirror(signal)
      const commit = await this.#fetch(from, signal)
      // Runs are pinned to commits; a force push must not take them away.
      await git(['-C', this.#dir, 'update-ref', `refs/guild/seen/${commit}`, commit], { signal })
      this.#known = { commit, content: (await treeOf(this.#dir, commit, '', { signal })) ?? commit }
      return this.#known
    })
  }

  /** Whole or not at all: several processes of one home begin together, and `git init` in one folder twice at once fails. */
  async #ensureMirror(signal: AbortSignal | undefined): Promise<void> {
    if (await isThere(join(this.#dir, 'HEAD'))) return
    const draft = `${this.#dir}.${randomUUID()}`
    await mkdir(draft, { recursive: true, mode: 0o700 })
    try {
      // No template: its sample hooks are of no use here.
      await git(['init', '--quiet', '--bare', '--template=', '--', draft], { signal })
      await rename(draft, this.#dir)
    } catch (error) {
      if (!(await isThere(join(this.#dir, 'HEAD')))) throw error // else another process was faster
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
  }

  /** Into a ref of this fetch alone: two that move one ref at the same time fail, and one could read what the other has fetched. */
  async #fetch(from: string, signal: AbortSignal | undefined): Promise<string> {
    const ref = `refs/guild/fetch/${randomUUID()}`
    const fetch = ['-C', this.#dir, 'fetch', '--quiet', '--no-tags', '--no-write-fetch-head', '--end-of-options']
    await git([...fetch, this.#url, `+${from}:${ref}`], { signal, timeoutMs: fetchMsMax })
    const commit = await commitOf(this.#dir, ref, { signal })
    await git(['-C', this.#dir, 'update-ref', '-d', ref], { signal })
    if (commit === null) throw new GitFailure('the branch has no commit')
    return commit
  }

  /** One question to the server instead of a fetch; most looks find nothing new. */
  async #remoteCommit(ref: string, signal: AbortSignal | undefined): Promise<string | null> {
    const out = await git(['ls-remote', '--quiet', '--', this.#url, ref], { signal, timeoutMs: fetchMsMax })
    return /^([0-9a-f]{40,64})\s/.exec(out.toString('utf8'))?.[1] ?? null
  }

  async read(commit: string, signal?: AbortSignal): Promise<CodexFiles> {
    return await guarded(this.shown, async () => await readCommit(this.#dir, '', commit, signal))
  }

  async parent(commit: string, signal?: AbortSignal): Promise<string | null> {
    return await guarded(this.shown, async () => await commitOf(this.#dir, `${commit}^`, { signal }))
  }

  async resolve(revision: string, signal?: AbortSignal): Promise<string | null> {
    return await guarded(this.shown, async () => await commitOf(this.#dir, revision, { signal }))
  }
}

/** A local folder: at HEAD where Git knows its files, else as it lies there. */
class FolderSource implements CodexSource {
  readonly shown: string
  readonly remote = false
  readonly #folder: string
  readonly #branch: string | null
  #place: Place | null = null
  #known: { readonly stamp: string; readonly head: CodexHead } | null = null

  constructor(folder: string, branch: string | null) {
    this.shown = folder
    this.#folder = folder
    this.#branch = branch
  }

  async head(signal?: AbortSignal): Promise<CodexHead> {
    return await guarded(this.shown, async () => {
      const place = await this.#placed(signal)
      if (place !== null) {
        const stamp = await headStamp(place.folders, this.#branch)
        if (stamp !== null && stamp === this.#known?.stamp) return this.#known.head
        const commit = await commitOf(this.#folder, this.#branch ?? 'HEAD', { signal })
        const tree = commit === null ? null : await treeOf(this.#folder, commit, place.prefix, { signal })
        if (commit !== null && tree !== null) {
          const head = { commit, content: tree }
          this.#known = stamp === null ? null : { stamp, head }
          return head
        }
        if (this.#branch !== null) throw new GitFailure(`the branch ${this.#branch} has no such folder`)
      } else if (this.#branch !== null) throw new GitFailure('this folder is in no Git repository, so it has no branch')
      const { commit } = await readFolder(this.#folder)
      return { commit, content: commit }
    })
  }

  async read(commit: string, signal?: AbortSignal): Promise<CodexFiles> {
    return await guarded(this.shown, async () => {
      if (!commit.startsWith('worktree-')) {
        return await readCommit(this.#folder, (await this.#placed(signal))?.prefix ?? '', commit, signal)
      }
      const files = await readFolder(this.#folder)
      if (files.commit !== commit) throw new GitFailure(`the folder has changed since ${commit}`)
      return files
    })
  }

  async parent(commit: string, signal?: AbortSignal): Promise<string | null> {
    if (commit.startsWith('worktree-')) return (await this.#placed(signal)) === null ? null : await this.#head(signal)
    return await guarded(this.shown, async () => await commitOf(this.#folder, `${commit}^`, { signal }))
  }

  async resolve(revision: string, signal?: AbortSignal): Promise<string | null> {
    return await guarded(this.shown, async () => await commitOf(this.#folder, revision, { signal }))
  }

  async #head(signal: AbortSignal | undefined): Promise<string | null> {
    return await commitOf(this.#folder, 'HEAD', { signal })
  }

  /** Where the folder stands in its repository; null: no repository (yet), or no git. Asked of git once. */
  async #placed(signal: AbortSignal | undefined): Promise<Place | null> {
    if (this.#place) return this.#place
    const ask = ['rev-parse', '--path-format=absolute', '--git-dir', '--git-common-dir', '--show-prefix']
    try {
      const out = await git(['-C', this.#folder, ...ask], { signal })
      const [own = '', common = '', prefix = ''] = out.toString('utf8').split('\n')
      this.#place = { folders: { own, common }, prefix: prefix.replace(/\/$/, '') }
      return this.#place
    } catch (error) {
      if (!(error instanceof GitFailure)) throw error
      if (/not a git repository|not installed/.test(error.message)) return null
      throw error
    }
  }
}

interface Place {
  readonly folders: GitFolders
  /** the folder's path inside its repository, `''` at the root */
  readonly prefix: string
}

/** The files of a folder as they are now; the commit is a hash of them. */
export async function readFolder(folder: string): Promise<CodexFiles> {
  const found: Found[] = []
  for (const top of await readdir(folder, { withFileTypes: true })) {
    if (!codexFolders.includes(top.name) || !top.isDirectory()) {
      const own = Object.hasOwn(rootFiles, top.name) && top.isFile()
      const bytes = own ? (await stat(join(folder, top.name))).size : 0
      found.push({ path: top.name, bytes, kind: own ? 'file' : top.isSymbolicLink() ? 'link' : 'other' })
      continue
    }
    const inside = await readdir(join(folder, top.name), { withFileTypes: true, recursive: true })
    for (const entry of inside.slice(0, filesMax + 1)) {
      if (entry.isDirectory()) continue
      const full = join(entry.parentPath, entry.name)
      const kind = entry.isFile() ? 'file' : entry.isSymbolicLink() ? 'link' : 'other'
      const bytes = kind === 'file' ? (await stat(full)).size : 0
      found.push({ path: full.slice(folder.length + 1).replaceAll('\\', '/'), bytes, kind })
    }
  }
  const { selected, problems } = selectFiles(found)
  const contents = await Promise.all(
    selected.map(async ({ path }) => ({ path, bytes: await readFile(join(folder, path)) })),
  )
  const hash = createHash('sha256')
  for (const { path, bytes } of contents) hash.update(`${path}\0${sha256(bytes)}\n`)
  return decodeFiles(`worktree-${hash.digest('hex').slice(0, 40)}`, contents, problems)
}

/** The files of a folder in a repository at a commit: two processes, whatever their number. */
async function readCommit(
  dir: string,
  prefix: string,
  commit: string,
  signal: AbortSignal | undefined,
): Promise<CodexFiles> {
  if (!/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(commit)) throw new GitFailure(`“${commit}” is no commit`)
  const tree = await treeOf(dir, commit, prefix, { signal })
  if (tree === null) throw new GitFailure(`there is no commit ${commit} with this folder`)
  const entries = (await entriesOf(dir, tree, { signal })).map((entry) => ({
    ...entry,
    bytes: entry.size ?? 0,
    kind: entry.size !== null && entry.mode.startsWith('100') ? ('file' as const) : ('link' as const),
  }))
  const { selected, problems } = selectFiles(entries)
  const oids = selected.map(({ oid }) => oid)
  // Headers of `cat-file` take some 60 bytes each.
  const blobs = await blobsOf(dir, oids, { signal, bytesMax: codexBytesMax + filesMax * 200 })
  const contents = selected.map(({ path }, index) => ({ path, bytes: blobs[index] ?? new Uint8Array() }))
  return decodeFiles(commit, contents, problems)
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

async function guarded<T>(shown: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof GitFailure || (error instanceof Error && 'syscall' in error)) {
      throw new GuildError('GUILD_CODEX_UNAVAILABLE', { url: shown, why: reasonOf(error) }, { cause: error })
    }
    throw error
  }
}
