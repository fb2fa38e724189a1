import { z } from 'zod'
import type { Priority } from '../../../kernel/event.ts'
import type { JsonObject } from '../../../kernel/json.ts'
import {
  absent,
  bounded,
  count,
  type Fact,
  type Family,
  family,
  flag,
  inRepository,
  labelNames,
  labels,
  lookup,
  lowest,
  text,
  user,
} from './family.ts'

const pull = z.object({
  id: z.number(),
  number: z.number(),
  html_url: z.string(),
  title: text,
  body: text,
  state: text,
  draft: flag,
  merged: flag,
  user,
  merged_by: user,
  merge_commit_sha: text,
  author_association: text,
  updated_at: text,
  created_at: text,
  closed_at: text,
  merged_at: text,
  head: z.object({ ref: z.string(), sha: z.string() }),
  base: z.object({ ref: z.string(), sha: z.string() }),
  labels,
  additions: count,
  deletions: count,
  changed_files: count,
})
type Pull = z.infer<typeof pull>

const pullRequestBody = inRepository.extend({
  number: z.number(),
  pull_request: pull,
  before: text,
  after: text,
  label: z.object({ name: z.string() }).nullish(),
  assignee: user,
  requested_reviewer: user,
  requested_team: z.object({ slug: z.string() }).nullish(),
  review: absent,
  comment: absent,
  thread: absent,
})
type PullRequestBody = z.infer<typeof pullRequestBody>

/** Rows 16–21 of the table in facts/edges 1.5. */
export const pullRequest: Family = family('pull_request', pullRequestBody, (body) => {
  const change = changeOf(body)
  if (!change) return []
  const { pull_request: pr, action } = body
  return [
    {
      type: change.type,
      priority: change.priority,
      ...about(pr, body.repository.full_name),
      dedupKey: `gh:pr:${pr.id}:${change.key}`,
      occurredAt: action === 'opened' ? pr.created_at : pr.updated_at,
      integrity: lowest(pr.author_association),
      payload: { ...fields(pr), ...change.payload },
    },
  ]
})

interface Change {
  readonly type: string
  readonly priority: Priority
  readonly key: string
  readonly payload?: JsonObject
}

function changeOf(body: PullRequestBody): Change | null {
  const { action, pull_request: pr } = body
  const at = pr.updated_at ?? ''
  switch (action) {
    case 'opened':
      return pr.draft
        ? { type: 'PR_DRAFTED', priority: 'LOW', key: `draft:${at}` }
        : { type: 'PR_OPENED', priority: 'NORMAL', key: 'opened' }
    case 'ready_for_review':
      return { type: 'PR_READY', priority: 'NORMAL', key: `ready:${at}` }
    case 'converted_to_draft':
      return { type: 'PR_DRAFTED', priority: 'LOW', key: `draft:${at}` }
    case 'synchronize': {
      const after = body.after ?? pr.head.sha
      const payload = { before: body.before ?? null, after }
      return { type: 'PR_UPDATED', priority: 'NORMAL', key: `head:${after}`, payload }
    }
    case 'review_requested':
    case 'review_request_removed': {
      const reviewer = body.requested_reviewer?.login ?? body.requested_team?.slug ?? ''
      const asked = action === 'review_requested'
      return {
        type: asked ? 'PR_REVIEW_REQUESTED' : 'PR_REVIEW_WITHDRAWN',
        priority: 'NORMAL',
        key: `${action}:${reviewer}:${at}`,
        payload: { reviewer },
      }
    }
    case 'closed':
      return pr.merged
        ? { type: 'PR_MERGED', priority: 'NORMAL', key: 'merged' }
        : { type: 'PR_CLOSED', priority: 'NORMAL', key: `closed:${pr.closed_at ?? at}` }
    case 'reopened':
      return { type: 'PR_REOPENED', priority: 'LOW', key: `reopened:${at}` }
    case 'labeled':
    case 'unlabeled': {
      const label = body.label?.name ?? ''
      return { type: 'PR_LABELED', priority: 'LOW', key: `${action}:${at}:${label}`, payload: { label } }
    }
    case 'assigned': {
      const assignee = body.assignee?.login ?? ''
      return { type: 'PR_ASSIGNED', priority: 'LOW', key: `assigned:${at}:${assignee}`, payload: { assignee } }
    }
    default:
      return null
  }
}

const reviewBody = inRepository.extend({
  pull_request: pull,
  review: z.object({
    id: z.number(),
    state: z.string(),
    html_url: z.string(),
    body: text,
    user,
    author_association: text,
    commit_id: text,
    submitted_at: text,
  }),
})

const reviewTypes: Readonly<Record<string, string>> = {
  approved: 'PR_APPROVED',
  changes_requested: 'PR_CHANGES_REQUESTED',
  commented: 'PR_REVIEWED',
  dismissed: 'PR_REVIEW_DISMISSED',
}

/** Row 22. */
export const pullRequestReview: Family = family('pull_request_review', reviewBody, (body): readonly Fact[] => {
  const { review, pull_request: pr, action } = body
  const state = review.state.toLowerCase()
  const type = lookup(reviewTypes, state)
  if (!type || (action !== 'submitted' && action !== 'dismissed')) return []
  return [
    {
      type,
      priority: 'NORMAL',
      ...about(pr, body.repository.full_name, review.html_url),
      dedupKey: `gh:review:${review.id}:${state}`,
      occurredAt: action === 'submitted' ? review.submitted_at : pr.updated_at,
      integrity: lowest(review.author_association, pr.author_association),
      payload: {
        ...fields(pr),
        ...said(review),
        review_id: review.id,
        state,
      },
    },
  ]
})

const reviewComment = z.object({
  id: z.number(),
  html_url: z.string(),
  body: text,
  user,
  author_association: text,
  path: text,
  line: count,
  created_at: text,
  pull_request_review_id: count,
})

const reviewCommentBody = inRepository.extend({
  pull_request: pull,
  comment: reviewComment.extend({ pull_request_review_id: count, path: z.string() }),
})

/** Row 23, comments on lines. */
export const pullRequestReviewComment: Family = family(
  'pull_request_review_comment',
  reviewCommentBody,
  (body): readonly Fact[] => {
    const { comment, pull_request: pr } = body
    if (body.action !== 'created') return []
    return [
      {
        type: 'PR_REVIEW_COMMENTED',
        priority: 'LOW',
        ...about(pr, body.repository.full_name, comment.html_url),
        dedupKey: `gh:rc:${comment.id}`,
        occurredAt: comment.created_at,
        integrity: lowest(comment.author_association, pr.author_association),
        payload: {
          ...fields(pr),
          ...said(comment),
          comment_id: comment.id,
          review_id: comment.pull_request_review_id ?? undefined,
          path: comment.path,
          line: comment.line ?? null,
        },
      },
    ]
  },
)

const threadBody = inRepository.extend({
  pull_request: pull,
  thread: z.object({ node_id: z.string(), comments: z.array(reviewComment) }),
  updated_at: text,
})

/** Row 23, threads. */
export const pullRequestReviewThread: Family = family(
  'pull_request_review_thread',
  threadBody,
  (body): readonly Fact[] => {
    const { thread, pull_request: pr } = body
    if (body.action !== 'resolved') return []
    const at = body.updated_at ?? pr.updated_at
    const [first] = thread.comments
    return [
      {
        type: 'PR_THREAD_RESOLVED',
        priority: 'LOW',
        ...about(pr, body.repository.full_name, first?.html_url),
        dedupKey: `gh:thread:${thread.node_id}:resolved:${at ?? ''}`,
        occurredAt: at,
        integrity: lowest(pr.author_association, ...thread.comments.map((comment) => comment.author_association)),
        payload: { ...fields(pr), path: first?.path ?? null, comment_id: first?.id },
      },
    ]
  },
)

function about(pr: Pull, repo: string, url?: string): Pick<Fact, 'subject' | 'correlationId'> {
  const id = `${repo}#${pr.number}`
  return { subject: { kind: 'pull_request', id, url: url ?? pr.html_url }, correlationId: id }
}

function fields(pr: Pull): JsonObject {
  return {
    number: pr.number,
    title: bounded(pr.title),
    body: bounded(pr.body),
    author: pr.user?.login ?? null,
    author_association: pr.author_association ?? null,
    draft: pr.draft ?? false,
    merged: pr.merged ?? Boolean(pr.merged_at),
    base: pr.base.ref,
    head_ref: pr.head.ref,
    head_sha: pr.head.sha,
    state: pr.state ?? null,
    labels: labelNames(pr.labels),
    additions: pr.additions ?? undefined,
    deletions: pr.deletions ?? undefined,
    changed_files: pr.changed_files ?? undefined,
    merged_by: pr.merged_by?.login,
    merge_sha: pr.merge_commit_sha ?? undefined,
  }
}

interface Said {
  readonly body?: string | null | undefined
  readonly user?: { readonly login: string } | null | undefined
  readonly author_association?: string | null | undefined
}

/** In a review or comment `body` and `author` are those of what was said, not those of the pull request. */
function said({ body, user, author_association }: Said): JsonObject {
  return { body: bounded(body), author: user?.login ?? null, author_association: author_association ?? null }
}
