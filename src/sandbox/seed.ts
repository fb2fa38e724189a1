import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import {
  type ChangedFile,
  type Commit,
  type GithubState,
  instant,
  type Repository,
  type Thread,
} from './github-state.ts'

const changedFile = z.object({
  filename: z.string(),
  status: z.enum(['added', 'modified', 'removed', 'renamed']).default('modified'),
  additions: z.number().default(0),
  deletions: z.number().default(0),
  patch: z.string().optional(),
  contents: z.string().optional(),
})
const commit = z.object({
  sha: z.string().optional(),
  message: z.string(),
  author: z.object({ name: z.string(), email: z.string().default('dev@example.test'), login: z.string().optional() }),
  date: z.string().optional(),
  parents: z.array(z.string()).default([]),
  files: z.array(changedFile).default([]),
})
const thread = z.object({
  number: z.number().optional(),
  title: z.string(),
  body: z.string().default(''),
  user: z.string(),
  association: z.string().default('CONTRIBUTOR'),
  state: z.enum(['open', 'closed']).default('open'),
  labels: z.array(z.string()).default([]),
  created_at: z.string().optional(),
})
const side = z.object({ ref: z.string(), sha: z.string().optional() })

/** What the sandbox starts with; everything but names and titles has a default. */
export const seedSchema = z.strictObject({
  tokens: z.array(z.object({ token: z.string().min(1), login: z.string().min(1) })).default([]),
  /** calls per hour and token */
  rate_limit: z.int().min(1).default(5_000),
  repositories: z
    .array(
      z.object({
        full_name: z.string().regex(/^[\w.-]+\/[\w.-]+$/),
        private: z.boolean().default(false),
        default_branch: z.string().default('main'),
        description: z.string().nullable().default(null),
        files: z.record(z.string(), z.string()).default({}),
        commits: z.array(commit).default([]).describe('oldest first'),
        issues: z.array(thread).default([]),
        pulls: z
          .array(
            thread.extend({
              draft: z.boolean().default(false),
              head: side,
              base: side.optional(),
              files: z.array(changedFile).default([]),
              commits: z.array(commit).default([]),
            }),
          )
          .default([]),
      }),
    )
    .default([]),
})
export type SandboxSeed = z.input<typeof seedSchema>

/** Adds what the seed describes to what is there. */
export function plant(state: GithubState, seed: SandboxSeed, clock: Clock): void {
  const now = instant(clock.now())
  const { tokens, repositories } = seedSchema.parse(seed)
  for (const { token, login } of tokens) state.grant(token, login)
  for (const given of repositories) {
    const repository = ensureRepository(state, given.full_name, now, {
      private: given.private,
      defaultBranch: given.default_branch,
      description: given.description,
    })
    for (const [path, text] of Object.entries(given.files)) repository.files.set(path, text)
    for (const one of given.commits) addCommit(repository, one, now)
    for (const issue of given.issues) ensureThread(state, repository, issue, now)
    for (const pull of given.pulls) {
      const shas = pull.commits.map((one) => addCommit(repository, one, now).sha)
      const planted = ensureThread(state, repository, pull, now)
      const files = pull.files.map(fileOf)
      const headSha = pull.head.sha ?? shas.at(-1) ?? fakeSha(repository.fullName, pull.head.ref, pull.title)
      const base = pull.base ?? { ref: repository.defaultBranch }
      const baseSha = base.sha ?? fakeSha(repository.fullName, base.ref)
      planted.pull = {
        id: state.id(),
        draft: pull.draft,
        merged: false,
        mergedBy: null,
        mergeSha: null,
        head: { ref: pull.head.ref, sha: headSha },
        base: { ref: base.ref, sha: baseSha },
        files,
        commits: shas,
        size: sizeOf(files),
        reviews: [],
      }
    }
  }
}

export function ensureRepository(
  state: GithubState,
  fullName: string,
  now: string,
  more: Partial<Pick<Repository, 'id' | 'private' | 'defaultBranch' | 'description'>> = {},
): Repository {
  const found = state.repository(fullName)
  if (found) return found
  state.account(fullName.split('/')[0] ?? fullName, { type: 'Organization' })
  return state.addRepository({
    id: more.id ?? state.id(),
    fullName,
    private: more.private ?? false,
    defaultBranch: more.defaultBranch ?? 'main',
    description: more.description ?? null,
    createdAt: now,
    pushedAt: now,
    threads: new Map(),
    commits: new Map(),
    files: new Map(),
    labels: new Map(),
    checkRuns: [],
  })
}

export interface ThreadSeed {
  readonly number?: number | undefined
  readonly id?: number | undefined
  readonly title: string
  readonly body: string
  readonly user: string
  readonly association: string
  readonly state: 'open' | 'closed'
  readonly labels: readonly string[]
  readonly created_at?: string | undefined
}

/** Finds the thread by its number, or makes it; what is there already keeps its comments and takes the newer words. */
export function ensureThread(state: GithubState, repository: Repository, seed: ThreadSeed, now: string): Thread {
  const number = seed.number ?? state.nextNumber(repository)
  const found = repository.threads.get(number)
  if (found) {
    found.title = seed.title
    found.body = seed.body
    found.state = seed.state
    found.labels = [...seed.labels]
    found.updatedAt = now
    return found
  }
  const made: Thread = {
    id: seed.id ?? state.id(),
    number,
    title: seed.title,
    body: seed.body,
    state: seed.state,
    author: state.account(seed.user),
    association: seed.association,
    labels: [...seed.labels],
    assignees: [],
    locked: false,
    comments: [],
    createdAt: seed.created_at ?? now,
    updatedAt: now,
    closedAt: seed.state === 'closed' ? now : null,
    pull: null,
  }
  repository.threads.set(number, made)
  return made
}

export function addCommit(repository: Repository, given: z.output<typeof commit>, now: string): Commit {
  const sha = given.sha ?? fakeSha(repository.fullName, given.message, String(repository.commits.size))
  const made: Commit = {
    sha,
    message: given.message,
    author: { name: given.author.name, email: given.author.email, login: given.author.login ?? null },
    date: given.date ?? now,
    parents: given.parents,
    files: given.files.map(fileOf),
  }
  repository.commits.set(sha, made)
  return made
}

export function sizeOf(files: readonly ChangedFile[]): { additions: number; deletions: number; changedFiles: number } {
  return {
    additions: files.reduce((sum, file) => sum + file.additions, 0),
    deletions: files.reduce((sum, file) => sum + file.deletions, 0),
    changedFiles: files.length,
  }
}

function fileOf(file: z.output<typeof changedFile>): ChangedFile {
  return { ...file, patch: file.patch, contents: file.contents }
}

/** Forty hex digits, the same for the same words. */
export function fakeSha(...words: readonly string[]): string {
  return createHash('sha1').update(words.join('\0')).digest('hex')
}
