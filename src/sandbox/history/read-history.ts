import { execFile } from 'node:child_process'
import { devNull } from 'node:os'
import { basename, resolve } from 'node:path'
import { promisify } from 'node:util'
import { GuildError, reasonOf } from '../../kernel/errors.ts'

const run = promisify(execFile)
const gitMs = 60_000
const outputBytesMax = 64 * 1024 * 1024
const commitsMax = 2_000
const patchBytesMax = 8_000

export interface HistoryFile {
  readonly path: string
  readonly additions: number
  readonly deletions: number
}

export interface HistoryCommit {
  readonly sha: string
  readonly parents: readonly string[]
  readonly author: string
  readonly email: string
  readonly at: Date
  readonly subject: string
  readonly body: string
  /** against the first parent */
  readonly files: readonly HistoryFile[]
}

export interface History {
  /** `owner/name` from the remote, else `local/<folder>` */
  readonly repository: string
  readonly branch: string
  /** the first-parent line of the branch, oldest first */
  readonly commits: readonly HistoryCommit[]
  readonly tags: readonly { readonly name: string; readonly sha: string; readonly at: Date }[]
  /** updates of the branch that threw commits away, as the reflog of this clone remembers them */
  readonly forced: readonly { readonly before: string; readonly after: string; readonly at: Date }[]
  readonly from: Date
  readonly to: Date
  /** The branch has been quiet: the window ends at its last commit, not today. */
  readonly quietSince: Date | null
}

/**
 * The last `days` days of a local Git repository, read with `git` only; nothing is fetched and nothing is written.
 * Bounded: 2 000 commits, 64 MB of output, 60 s per command.
 * @throws GUILD_COMMAND_INVALID when the path is no Git repository or has no commit
 */
export async function readHistory(path: string, days: number, now: Date): Promise<History> {
  const folder = resolve(path)
  const git = (...args: string[]) => runGit(folder, args)
  const branch = await defaultBranch(git, folder)
  const last = new Date((await git('log', '-1', '--format=%cI', '--end-of-options', branch)).trim())
  const span = days * 86_400_000
  const quiet = now.getTime() - last.getTime() > span
  const to = quiet ? last : now
  const from = new Date(to.getTime() - span)
  const commits = parseLog(
    await git(
      'log',
      '--first-parent',
      '-m',
      '--numstat',
      `--max-count=${commitsMax}`,
      `--since=${from.toISOString()}`,
      `--format=${format}`,
      '--end-of-options',
      branch,
    ),
  )
  return {
    repository: await repositoryName(git, folder),
    branch: branch.replace(/^origin\//, ''),
    commits: commits.reverse(),
    tags: parseTags(
      await git('for-each-ref', '--format=%(refname:short)%00%(objectname)%00%(creatordate:iso-strict)', 'refs/tags'),
      from,
    ),
    forced: await forcedUpdates(git, branch, from),
    from,
    to,
    quietSince: quiet ? last : null,
  }
}

/** The text of a change against its first parent, per file and bounded: what a reviewer would read. */
export async function readPatches(path: string, sha: string): Promise<ReadonlyMap<string, string>> {
  const text = await runGit(resolve(path), [
    'show',
    '--format=',
    '--first-parent',
    '-m',
    '--no-color',
    '--unified=3',
    '--no-ext-diff',
    '--no-textconv',
    '--end-of-options',
    sha,
    '--',
  ])
  const patches = new Map<string, string>()
  for (const part of text.split(/^diff --git /m).slice(1)) {
    const file = /^\+\+\+ b\/(.+)$/m.exec(part)?.[1] ?? /^--- a\/(.+)$/m.exec(part)?.[1]
    const hunks = part.indexOf('@@')
    if (file && hunks >= 0) patches.set(file, part.slice(hunks, hunks + patchBytesMax))
  }
  return patches
}

type Git = (...args: string[]) => Promise<string>

// A record begins with RS; its fields end with US: neither can stand in a message that a terminal accepted.
const format = '%x1e%H%x1f%P%x1f%an%x1f%ae%x1f%cI%x1f%s%x1f%b%x1f'

// The repository may be anybody's, and its configuration can name programs: for signatures, file watching, hooks.
const settings = ['core.quotepath=off', 'log.showSignature=false', 'core.fsmonitor=false', `core.hooksPath=${devNull}`]
// Nor may a partial clone fetch what it lacks, by whatever transport its configuration names.
const offline = { GIT_NO_LAZY_FETCH: '1', GIT_ALLOW_PROTOCOL: 'none' }

async function runGit(folder: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run('git', ['-C', folder, ...settings.flatMap((one) => ['-c', one]), ...args], {
      maxBuffer: outputBytesMax,
      timeout: gitMs,
      env: { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C', ...offline },
    })
    return stdout
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split('\n')[0]
    throw new GuildError(
      'GUILD_COMMAND_INVALID',
      { why: `${folder} cannot be read as a Git repository: ${said || reasonOf(error)}` },
      { cause: error },
    )
  }
}

async function defaultBranch(git: Git, folder: string): Promise<string> {
  const known = (await git('for-each-ref', '--format=%(refname:short)', 'refs/heads', 'refs/remotes/origin')).split(
    '\n',
  )
  const head = (await git('rev-parse', '--abbrev-ref', 'HEAD')).trim()
  const found = ['main', 'master', 'trunk', 'develop', 'origin/main', 'origin/master'].find((name) =>
    known.includes(name),
  )
  const branch = found ?? (head === 'HEAD' ? known[0] : head)
  if (!branch) throw new GuildError('GUILD_COMMAND_INVALID', { why: `${folder} has no commit yet` })
  return branch
}

async function repositoryName(git: Git, folder: string): Promise<string> {
  const remotes = (await git('remote', '-v')).trim()
  const url = /^origin\s+(\S+)/m.exec(remotes)?.[1] ?? ''
  const match = /[/:]([\w.-]+)\/([\w.-]+?)(?:\.git)?\/?$/.exec(url)
  // A clone of a local folder has a path as its remote, which names no owner.
  if (match && /^(https?:|ssh:|git@|git:)/.test(url)) return `${match[1]}/${match[2]}`
  return `local/${basename(folder).replaceAll(/[^\w.-]/g, '-') || 'repository'}`
}

function parseLog(text: string): HistoryCommit[] {
  return text
    .split('\u001e')
    .slice(1)
    .map((record) => {
      const [sha = '', parents = '', author = '', email = '', at = '', subject = '', body = '', numstat = ''] =
        record.split('\u001f')
      return {
        sha,
        parents: parents.split(' ').filter(Boolean),
        author,
        email,
        at: new Date(at),
        subject,
        body: body.trim(),
        files: numstat.split('\n').flatMap(parseNumstat),
      }
    })
}

function parseNumstat(line: string): HistoryFile[] {
  const match = /^(\d+|-)\t(\d+|-)\t(.+)$/.exec(line)
  if (!match) return []
  const [, additions = '0', deletions = '0', path = ''] = match
  // `src/{old => new}/x.ts` and `old => new`: a rename counts under its new name; `-` is a binary file.
  const renamed = path
    .replace(/\{.*? => (.*?)\}/, '$1')
    .replace(/^.* => /, '')
    .replaceAll('//', '/')
  return [{ path: renamed, additions: Number(additions) || 0, deletions: Number(deletions) || 0 }]
}

function parseTags(text: string, from: Date): History['tags'] {
  return text
    .split('\n')
    .map((line) => line.split('\0'))
    .flatMap(([name, sha, at]) => (name && sha && at ? [{ name, sha, at: new Date(at) }] : []))
    .filter((tag) => tag.at >= from)
    .sort((a, b) => a.at.getTime() - b.at.getTime())
    .slice(-200)
}

async function forcedUpdates(git: Git, branch: string, from: Date): Promise<History['forced']> {
  const name = branch.replace(/^origin\//, '')
  const entries = await Promise.all(
    [`refs/remotes/origin/${name}`, `refs/heads/${name}`].map(async (ref) => {
      const exists = (await git('for-each-ref', '--format=%(refname)', ref)).trim()
      return exists ? git('reflog', 'show', '--date=iso-strict', '--format=%H%x1f%gd%x1f%gs', ref) : ''
    }),
  )
  return entries
    .flatMap((text) => {
      const lines = text
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split('\u001f'))
      return lines.flatMap(([after = '', selector = '', what = ''], at) => {
        const date = new Date(/\{(.+)\}/.exec(selector)?.[1] ?? '')
        const before = lines[at + 1]?.[0]
        if (!/forced-update|^reset: moving|\(amend\)|rebase.*finish/.test(what) || !before || before === after)
          return []
        return date >= from ? [{ before, after, at: date }] : []
      })
    })
    .slice(0, 20)
}
