import { execFile } from 'node:child_process'
import { devNull } from 'node:os'
import { GuildError } from '../kernel/errors.ts'

export interface GitOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number
  readonly input?: string
  readonly bytesMax?: number
}

/** What one entry of a tree is. `size` is null for what is not a file. */
export interface TreeEntry {
  readonly mode: string
  readonly oid: string
  readonly size: number | null
  readonly path: string
}

/** The failure of a git command: its own words, without credentials. */
export class GitFailure extends Error {
  override readonly name = 'GitFailure'
}

const timeoutMsDefault = 20_000
const bytesMaxDefault = 16 * 1024 * 1024

/**
 * Runs the `git` command: no shell, no prompt, no hook, no helper that a repository's own configuration could name, only the
 * protocols people use. Credentials are those git itself finds. @throws GitFailure
 */
export async function git(args: readonly string[], options: GitOptions = {}): Promise<Buffer> {
  const { signal, input, timeoutMs = timeoutMsDefault, bytesMax = bytesMaxDefault } = options
  // Only plumbing runs here, so a clone of another owner (root in a user's clone, a mounted volume) is as safe as our own.
  const settings = [
    `core.hooksPath=${devNull}`,
    'core.fsmonitor=false',
    'gc.auto=0',
    'safe.directory=*',
    // Several processes may share a mirror: wait for one another's locks instead of failing after a tenth of a second.
    'core.filesRefLockTimeout=10000',
    'core.packedRefsTimeout=10000',
  ]
  const hardening = settings.flatMap((setting) => ['-c', setting])
  return await new Promise((resolve, reject) => {
    const child = execFile(
      'git',
      [...hardening, ...args],
      { env: environment(), encoding: 'buffer', maxBuffer: bytesMax, timeout: timeoutMs, ...(signal && { signal }) },
      (error, stdout, stderr) => {
        if (!error) resolve(stdout)
        else if (signal?.aborted) reject(signal.reason instanceof Error ? signal.reason : error)
        else reject(new GitFailure(failureOf(error, stderr.toString('utf8'), timeoutMs), { cause: error }))
      },
    )
    // A process that is gone closes its pipe; the callback above tells why.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input ?? '')
  })
}

/** The commit a revision names now; null when it names none. */
export async function commitOf(dir: string, revision: string, options?: GitOptions): Promise<string | null> {
  return await objectOf(dir, `${revision}^{commit}`, options)
}

/** The tree of a folder at a commit; null when there is none. */
export async function treeOf(
  dir: string,
  commit: string,
  prefix: string,
  options?: GitOptions,
): Promise<string | null> {
  return await objectOf(dir, `${commit}:${prefix}`, options)
}

async function objectOf(dir: string, revision: string, options?: GitOptions): Promise<string | null> {
  try {
    const out = await git(['-C', dir, 'rev-parse', '--verify', '--quiet', '--end-of-options', revision], options)
    return out.toString('utf8').trim() || null
  } catch (error) {
    if (error instanceof GitFailure && error.message === silentFailure) return null
    throw error
  }
}

/** Every entry below a tree, with sizes. */
export async function entriesOf(dir: string, tree: string, options?: GitOptions): Promise<readonly TreeEntry[]> {
  const out = await git(['-C', dir, 'ls-tree', '-r', '-z', '-l', '--full-tree', tree], options)
  return out
    .toString('utf8')
    .split('\0')
    .filter(Boolean)
    .map((line) => {
      const tab = line.indexOf('\t')
      const [mode = '', , oid = '', size = '-'] = line.slice(0, tab).split(/ +/)
      return { mode, oid, size: size === '-' ? null : Number(size), path: line.slice(tab + 1) }
    })
}

/** The bytes of many objects with one process, in the order asked for. */
export async function blobsOf(dir: string, oids: readonly string[], options: GitOptions): Promise<readonly Buffer[]> {
  if (oids.length === 0) return []
  const out = await git(['-C', dir, 'cat-file', '--batch'], { ...options, input: `${oids.join('\n')}\n` })
  const blobs: Buffer[] = []
  let at = 0
  for (const oid of oids) {
    const end = out.indexOf(10, at)
    const [, kind, size] = out.subarray(at, end).toString('utf8').split(' ')
    if (kind !== 'blob') throw new GitFailure(`object ${oid} is missing`)
    const start = end + 1
    blobs.push(out.subarray(start, start + Number(size)))
    at = start + Number(size) + 1
  }
  return blobs
}

const schemes = ['https:', 'http:', 'ssh:', 'file:']

/**
 * Is this a Git URL rather than a path? `user@host:path` counts. @throws GUILD_CODEX_UNAVAILABLE for what git would take as an option
 * or as the name of a program (`ext::sh -c …`), and for protocols other than https, http, ssh, file
 */
export function isRemote(url: string): boolean {
  if (url.startsWith('-') || url.includes('::') || /[\0\r\n]/.test(url)) {
    throw new GuildError('GUILD_CODEX_UNAVAILABLE', { url: withoutCredentials(url), why: 'this is not a path or URL' })
  }
  const scheme = /^([a-z][a-z0-9+.-]*:)\/\//i.exec(url)?.[1]?.toLowerCase()
  if (scheme && !schemes.includes(scheme)) {
    const why = `the protocol ${scheme} is not one of ${schemes.join(' ')}`
    throw new GuildError('GUILD_CODEX_UNAVAILABLE', { url: withoutCredentials(url), why })
  }
  return scheme !== undefined || /^[\w.-]+@[\w.-]+:(?!\/\/)/.test(url)
}

export function withoutCredentials(text: string): string {
  // To the last @ before the path: a password may hold one itself.
  return text.replaceAll(/(\w+:\/\/)[^/\s]*@/g, '$1')
}

const silentFailure = 'git failed and said nothing'

function failureOf(error: Error & { code?: unknown; killed?: boolean }, stderr: string, timeoutMs: number): string {
  if (error.code === 'ENOENT') return 'the command git is not installed'
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'git gave more than can be read'
  if (error.killed) return `git gave no answer within ${timeoutMs} ms`
  const lines = withoutCredentials(stderr).split('\n').filter(Boolean)
  return lines.slice(0, 3).join(' ').slice(0, 500) || silentFailure
}

/** Ours, less what would point git elsewhere (we may run inside a hook), plus what keeps it from asking. */
function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|COMMON_DIR|NAMESPACE|PREFIX)$/.test(name),
  )
  return {
    ...Object.fromEntries(inherited),
    LC_ALL: 'C',
    GIT_TERMINAL_PROMPT: '0',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_NO_LAZY_FETCH: '1',
    GIT_ALLOW_PROTOCOL: 'https:http:ssh:file',
    GIT_SSH_COMMAND: process.env['GIT_SSH_COMMAND'] ?? 'ssh -oBatchMode=yes -oConnectTimeout=10',
  }
}
