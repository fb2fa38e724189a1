import { z } from 'zod'
import type { Integrity } from '../../kernel/event.ts'
import { Allowance, compactCommit, compactFile, compactPullRequest } from './compact.ts'
import type { GithubApi } from './github-api.ts'
import * as shapes from './shapes.ts'

export interface ReadResult {
  readonly data: object
  readonly integrity: Integrity
}

export interface GithubRead {
  readonly name: string
  readonly description: string
  readonly input: z.ZodObject
  /** @param args as `input` has parsed them */
  readonly read: (api: GithubApi, args: unknown, signal: AbortSignal) => Promise<ReadResult>
}

const repo = z
  .string()
  .regex(/^(?!\.+\/)[\w.-]{1,100}\/(?!\.+$)[\w.-]{1,100}$/, 'owner/name')
  .describe('owner/name')
const number = z.int().min(1)
const ref = z.string().min(1).max(250)
const path = z
  .string()
  .max(1_000)
  .regex(/^(?!\/)(?!(?:.*\/)?\.{1,2}(?:\/|$))/s, 'a path inside the repository')

/** Every read the server offers; all `readOnlyHint`. */
export const githubReads: readonly GithubRead[] = [
  define(
    'get_pull_request',
    'A pull request: title, description, state, author, branches, labels, reviewers and size.',
    z.strictObject({ repo, number }),
    async (api, args, signal) => {
      const pull = await api.get(`/repos/${args.repo}/pulls/${args.number}`, shapes.pullRequest, signal)
      const body = new Allowance().take(pull.body, 20_000)
      return { data: { ...compactPullRequest(pull), body }, integrity: shapes.integrityOf([pull.author_association]) }
    },
  ),
  define(
    'list_pull_request_files',
    'The files a pull request changes, with additions, deletions and the patch (cut when long).',
    z.strictObject({ repo, number }),
    async (api, args, signal) => {
      const at = `/repos/${args.repo}/pulls/${args.number}`
      // Patches are their author's words, and only the pull request says who that is.
      const [pull, { items, more }] = await Promise.all([
        api.get(at, shapes.pullRequestItem, signal),
        api.list(`${at}/files`, shapes.changedFile, signal),
      ])
      const allowance = new Allowance()
      return {
        data: {
          head_sha: pull.head.sha,
          author_association: pull.author_association,
          files: items.map((file) => compactFile(file, allowance)),
          more,
        },
        integrity: shapes.integrityOf([pull.author_association]),
      }
    },
  ),
  define(
    'list_commits',
    'The newest commits of a branch (default: the default branch), newest first.',
    z.strictObject({ repo, sha: ref.optional(), limit: z.int().min(1).max(100).default(30) }),
    async (api, args, signal) => {
      const query = new URLSearchParams({ per_page: String(args.limit), ...(args.sha && { sha: args.sha }) })
      const commits = await api.get(`/repos/${args.repo}/commits?${query.toString()}`, z.array(shapes.commit), signal)
      const allowance = new Allowance()
      return {
        data: { commits: commits.map((commit) => compactCommit(commit, allowance)) },
        integrity: await integrityOfRefs(api, args.repo, [args.sha], signal),
      }
    },
  ),
  define(
    'get_issue',
    'An issue (or the issue side of a pull request): title, description, state, labels, assignees.',
    z.strictObject({ repo, number }),
    async (api, args, signal) => {
      const issue = await api.get(`/repos/${args.repo}/issues/${args.number}`, shapes.issue, signal)
      const { user, milestone, pull_request, ...rest } = issue
      const data = {
        ...rest,
        body: new Allowance().take(issue.body, 20_000),
        author: user,
        milestone: milestone?.title ?? null,
        is_pull_request: Boolean(pull_request),
      }
      return { data, integrity: shapes.integrityOf([issue.author_association]) }
    },
  ),
  define(
    'list_comments',
    'The comments of an issue or pull request, oldest first, with their authors’ association.',
    z.strictObject({ repo, number }),
    async (api, args, signal) => {
      const at = `/repos/${args.repo}/issues/${args.number}/comments`
      const { items, more } = await api.list(at, shapes.comment, signal)
      const allowance = new Allowance()
      const comments = items.map(({ user, body, ...rest }) => ({
        ...rest,
        author: user,
        body: allowance.take(body, 4_000),
      }))
      return {
        data: { comments, more },
        integrity: shapes.integrityOf(items.map((comment) => comment.author_association)),
      }
    },
  ),
  define(
    'get_file',
    'A file of the repository at a branch, tag or commit (default: the default branch), or the entries of a folder.',
    z.strictObject({ repo, path, ref: ref.optional() }),
    async (api, args, signal) => {
      const at = args.path.split('/').map(encodeURIComponent).join('/')
      const query = args.ref ? `?ref=${encodeURIComponent(args.ref)}` : ''
      const found = await api.get(`/repos/${args.repo}/contents/${at}${query}`, shapes.content, signal)
      return { data: fileData(found, args.path), integrity: await integrityOfRefs(api, args.repo, [args.ref], signal) }
    },
  ),
  define(
    'compare',
    'What head has that base has not: commits and changed files with patches. Either may be a branch, tag, commit or owner:branch.',
    z.strictObject({ repo, base: ref, head: ref }),
    async (api, args, signal) => {
      const range = `${encodeURIComponent(args.base)}...${encodeURIComponent(args.head)}`
      const found = await api.get(`/repos/${args.repo}/compare/${range}?per_page=100`, shapes.comparison, signal)
      const allowance = new Allowance()
      const data = {
        ...found,
        merge_base_commit: found.merge_base_commit?.sha ?? null,
        commits: found.commits.map((commit) => compactCommit(commit, allowance)),
        files: found.files.map((file) => compactFile(file, allowance)),
      }
      return { data, integrity: await integrityOfRefs(api, args.repo, [args.base, args.head], signal) }
    },
  ),
  define(
    'list_pull_requests',
    'Pull requests, most recently updated first (at most 300).',
    z.strictObject({ repo, state: z.enum(['open', 'closed', 'all']).default('open') }),
    async (api, args, signal) => {
      const at = `/repos/${args.repo}/pulls?state=${args.state}&sort=updated&direction=desc`
      const { items, more } = await api.list(at, shapes.pullRequestItem, signal)
      return {
        data: { pull_requests: items.map(compactPullRequest), more },
        integrity: shapes.integrityOf(items.map((pull) => pull.author_association)),
      }
    },
  ),
]

function define<Shape extends z.ZodObject>(
  name: string,
  description: string,
  input: Shape,
  read: (api: GithubApi, args: z.output<Shape>, signal: AbortSignal) => Promise<ReadResult>,
): GithubRead {
  return { name, description, input, read: (api, args, signal) => read(api, input.parse(args), signal) }
}

type Refs = readonly (string | undefined)[]

/**
 * `owner:branch` is a fork's, `refs/pull/…` anybody's, and whatever is not a plain name may resolve to either; what is on a branch or
 * tag here was let in by a member. A commit's hash says nothing: GitHub serves the commits of every fork through the repository they
 * were forked from. It counts as let in only when a branch here holds it.
 */
async function integrityOfRefs(api: GithubApi, repo: string, refs: Refs, signal: AbortSignal): Promise<Integrity> {
  const given = refs.filter((one) => one !== undefined)
  if (given.some((one) => /[:~^\\]|\.\.|@\{|^@$/.test(one) || /^(?:refs\/)?pull\//i.test(one))) return 'outsider'
  const hashes = given.filter((one) => /(?:^|-g)[0-9a-f]{4,64}$/i.test(one))
  const held = await Promise.all(hashes.map((hash) => isHeld(api, repo, hash, signal)))
  return held.every(Boolean) ? 'member' : 'outsider'
}

const reachable: ReadonlySet<string> = new Set(['identical', 'behind'])

/** Is the commit the head of a branch of this repository, or part of its default branch? What cannot be found out is not. */
async function isHeld(api: GithubApi, repo: string, hash: string, signal: AbortSignal): Promise<boolean> {
  const at = `/repos/${repo}`
  const commit = encodeURIComponent(hash)
  const [heads, main] = await Promise.allSettled([
    api.get(`${at}/commits/${commit}/branches-where-head`, z.array(z.unknown()), signal),
    api.get(`${at}/compare/HEAD...${commit}?per_page=1`, z.object({ status: z.string() }), signal),
  ])
  signal.throwIfAborted()
  if (heads.status === 'fulfilled' && heads.value.length > 0) return true
  return main.status === 'fulfilled' && reachable.has(main.value.status)
}

const fileCharsMax = 60_000

function fileData(found: z.output<typeof shapes.content>, asked: string): object {
  if (Array.isArray(found)) return { path: asked, type: 'dir', entries: found.slice(0, 500) }
  const { type, path: at, sha, size, encoding, content, html_url } = found
  const head = { path: at, type, sha, size, html_url: html_url ?? null }
  // Above 1 MB GitHub leaves the content out and sets encoding to none.
  if (encoding !== 'base64' || content === undefined) return { ...head, text: null, why: 'too large, or not a file' }
  const bytes = Buffer.from(content, 'base64')
  if (bytes.subarray(0, 8_000).includes(0)) return { ...head, text: null, why: 'binary' }
  return { ...head, text: new Allowance().take(bytes.toString('utf8'), fileCharsMax) }
}
