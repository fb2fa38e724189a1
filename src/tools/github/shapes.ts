import { z } from 'zod'
import type { Integrity } from '../../kernel/event.ts'

/** What is read of GitHub's objects: only the fields an agent can use. Everything else is dropped at the border. */
const login = z
  .object({ login: z.string() })
  .nullish()
  .transform((user) => user?.login ?? 'ghost')
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '')
const names = z.array(z.object({ name: z.string().nullish() })).transform((list) => list.map(({ name }) => name ?? ''))
const logins = z.array(z.object({ login: z.string() })).transform((list) => list.map((user) => user.login))
const association = z
  .string()
  .nullish()
  .transform((value) => value ?? null)
/** Servers that speak GitHub's API leave out what they do not know; an agent can do without. */
const optional = z
  .string()
  .nullish()
  .transform((value) => value ?? null)

const branch = z.object({
  ref: z.string(),
  sha: optional,
  repo: z.object({ full_name: z.string() }).nullish(),
})

export const pullRequestItem = z.object({
  number: z.number(),
  title: z.string(),
  state: z.string(),
  draft: z.boolean().default(false),
  user: login,
  author_association: association,
  base: branch,
  head: branch,
  labels: names.default([]),
  created_at: optional,
  updated_at: optional,
  html_url: optional,
})

export const pullRequest = pullRequestItem.extend({
  body: text,
  merged: z.boolean().default(false),
  mergeable_state: z.string().nullish(),
  requested_reviewers: logins.default([]),
  commits: z.number().nullish(),
  additions: z.number().nullish(),
  deletions: z.number().nullish(),
  changed_files: z.number().nullish(),
})

export const issue = z.object({
  number: z.number(),
  title: z.string(),
  state: z.string(),
  state_reason: optional,
  user: login,
  author_association: association,
  body: text,
  labels: names.default([]),
  assignees: logins.default([]),
  milestone: z.object({ title: z.string() }).nullish(),
  comments: z.number().default(0),
  pull_request: z.object({}).nullish(),
  created_at: optional,
  updated_at: optional,
  closed_at: optional,
  html_url: optional,
})

export const comment = z.object({
  id: z.number(),
  user: login,
  author_association: association,
  body: text,
  created_at: optional,
  html_url: optional,
})

export const changedFile = z.object({
  filename: z.string(),
  previous_filename: z.string().optional(),
  status: z.string(),
  additions: z.number().default(0),
  deletions: z.number().default(0),
  patch: z.string().optional(),
})

export const commit = z.object({
  sha: z.string(),
  commit: z.object({ message: z.string(), author: z.object({ name: z.string(), date: z.string() }).nullish() }),
  author: z.object({ login: z.string().optional() }).nullish(),
  html_url: optional,
})

export const comparison = z.object({
  status: z.string(),
  ahead_by: z.number(),
  behind_by: z.number(),
  total_commits: z.number(),
  merge_base_commit: z.object({ sha: z.string() }).nullish(),
  commits: z.array(commit).default([]),
  files: z.array(changedFile).default([]),
  html_url: optional,
})

export const content = z.union([
  z.array(z.object({ name: z.string(), path: z.string(), type: z.string(), size: z.number().default(0) })),
  z.object({
    type: z.string(),
    path: z.string(),
    sha: z.string(),
    size: z.number(),
    encoding: z.string().optional(),
    content: z.string().optional(),
    html_url: z.string().nullish(),
  }),
])

/** https://docs.github.com/en/graphql/reference/enums#commentauthorassociation */
const insiders = new Set(['OWNER', 'MEMBER', 'COLLABORATOR'])

/** The least trusted author decides. GitHub always names the association; null comes from another server's objects. */
export function integrityOf(associations: readonly (string | null)[]): Integrity {
  return associations.every((one) => one === null || insiders.has(one)) ? 'member' : 'outsider'
}
