import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import { type ChangedFile, type GithubState, instant, type Pull, type Repository, type Thread } from './github-state.ts'
import { addCommit, ensureRepository, ensureThread, sizeOf } from './seed.ts'

const user = z.object({ login: z.string(), id: z.number().optional(), type: z.string().optional() }).nullish()
const threadBody = z.object({
  id: z.number().optional(),
  number: z.number(),
  title: z.string().nullish(),
  body: z.string().nullish(),
  state: z.enum(['open', 'closed']).catch('open'),
  user,
  author_association: z.string().nullish(),
  labels: z.array(z.object({ name: z.string() })).nullish(),
  created_at: z.string().nullish(),
})
const pullBody = threadBody.extend({
  draft: z.boolean().nullish(),
  merged: z.boolean().nullish(),
  head: z.object({ ref: z.string(), sha: z.string() }),
  base: z.object({ ref: z.string(), sha: z.string() }),
  additions: z.number().nullish(),
  deletions: z.number().nullish(),
  changed_files: z.number().nullish(),
})
const webhookBody = z.object({
  repository: z.object({
    id: z.number().optional(),
    full_name: z.string(),
    private: z.boolean().nullish(),
    default_branch: z.string().nullish(),
    description: z.string().nullish(),
  }),
  sender: user,
  pull_request: pullBody.nullish().catch(null),
  issue: threadBody
    .extend({ pull_request: z.object({}).nullish() })
    .nullish()
    .catch(null),
  comment: z
    .object({ id: z.number(), body: z.string().nullish(), user, author_association: z.string().nullish() })
    .nullish()
    .catch(null),
  commits: z
    .array(
      z.object({
        id: z.string(),
        message: z.string(),
        timestamp: z.string().nullish(),
        author: z
          .object({ name: z.string().nullish(), email: z.string().nullish(), username: z.string().nullish() })
          .nullish(),
        added: z.array(z.string()).nullish(),
        modified: z.array(z.string()).nullish(),
        removed: z.array(z.string()).nullish(),
      }),
    )
    .nullish()
    .catch(null),
})

/** What the sandbox knows of a pull request beside the webhook: GitHub sends no files with it. */
export interface MoreOfPull {
  readonly files?: readonly (Pick<ChangedFile, 'filename'> & Partial<ChangedFile>)[]
}

/**
 * Makes the objects that a webhook talks about exist, so that an agent woken by it can read them and write to them. Bodies without a
 * repository, and parts that are not understood, add nothing.
 */
export function seedFromWebhook(state: GithubState, body: unknown, clock: Clock, more: MoreOfPull = {}): void {
  const read = webhookBody.safeParse(body)
  if (!read.success) return
  const { repository: given, pull_request: pull, issue, comment, commits, sender } = read.data
  const now = instant(clock.now())
  if (sender) state.account(sender.login, accountOf(sender))
  const repository = ensureRepository(state, given.full_name, now, {
    ...(given.id !== undefined && { id: given.id }),
    private: given.private ?? false,
    defaultBranch: given.default_branch ?? 'main',
    description: given.description ?? null,
  })
  if (pull) {
    const thread = threadOf(state, repository, pull, now)
    thread.pull = pullOf(state, thread, pull, more)
  }
  if (issue) {
    const thread = threadOf(state, repository, issue, now)
    if (issue.pull_request && !thread.pull) thread.pull = emptyPull(state, repository)
    if (comment && !thread.comments.some((one) => one.id === comment.id)) {
      const author = state.account(comment.user?.login ?? 'ghost', accountOf(comment.user))
      const association = comment.author_association ?? 'NONE'
      const { id } = comment
      thread.comments.push({ id, author, association, body: comment.body ?? '', createdAt: now, updatedAt: now })
    }
  }
  for (const commit of commits ?? []) addCommit(repository, commitOf(commit), now)
  repository.pushedAt = commits ? now : repository.pushedAt
}

function threadOf(state: GithubState, repository: Repository, body: z.infer<typeof threadBody>, now: string): Thread {
  if (body.user) state.account(body.user.login, accountOf(body.user))
  return ensureThread(
    state,
    repository,
    {
      number: body.number,
      id: body.id,
      title: body.title ?? '',
      body: body.body ?? '',
      user: body.user?.login ?? 'ghost',
      association: body.author_association ?? 'NONE',
      state: body.state,
      labels: (body.labels ?? []).map((label) => label.name),
      created_at: body.created_at ?? undefined,
    },
    now,
  )
}

function pullOf(state: GithubState, thread: Thread, body: z.infer<typeof pullBody>, more: MoreOfPull): Pull {
  const files = more.files?.map((file): ChangedFile => ({ ...unknownFile, ...file })) ?? thread.pull?.files ?? []
  const known = sizeOf(files)
  return {
    id: thread.pull?.id ?? body.id ?? state.id(),
    draft: body.draft ?? false,
    merged: body.merged ?? false,
    mergedBy: null,
    mergeSha: null,
    head: body.head,
    base: body.base,
    files,
    commits: thread.pull?.commits ?? [],
    size: {
      additions: body.additions ?? known.additions,
      deletions: body.deletions ?? known.deletions,
      changedFiles: body.changed_files ?? known.changedFiles,
    },
    reviews: thread.pull?.reviews ?? [],
  }
}

function emptyPull(state: GithubState, repository: Repository): Pull {
  const nowhere = '0'.repeat(40)
  return {
    id: state.id(),
    draft: false,
    merged: false,
    mergedBy: null,
    mergeSha: null,
    head: { ref: 'unknown', sha: nowhere },
    base: { ref: repository.defaultBranch, sha: nowhere },
    files: [],
    commits: [],
    size: { additions: 0, deletions: 0, changedFiles: 0 },
    reviews: [],
  }
}

const unknownFile: ChangedFile = {
  filename: '',
  status: 'modified',
  additions: 0,
  deletions: 0,
  patch: undefined,
  contents: undefined,
}

type CommitBody = NonNullable<z.infer<typeof webhookBody>['commits']>[number]

function commitOf(commit: CommitBody): Parameters<typeof addCommit>[1] {
  const files = (['added', 'modified', 'removed'] as const).flatMap((status) =>
    (commit[status] ?? []).map((filename) => ({ ...unknownFile, filename, status })),
  )
  return {
    sha: commit.id,
    message: commit.message,
    date: commit.timestamp ?? undefined,
    author: {
      name: commit.author?.name ?? 'unknown',
      email: commit.author?.email ?? 'dev@example.test',
      login: commit.author?.username ?? undefined,
    },
    parents: [],
    files,
  }
}

function accountOf(given: z.infer<typeof user>): { id?: number; type?: 'User' | 'Bot' | 'Organization' } {
  const type = given?.type === 'Bot' || given?.type === 'Organization' ? given.type : undefined
  return { ...(given?.id !== undefined && { id: given.id }), ...(type && { type }) }
}
