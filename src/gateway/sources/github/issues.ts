import { z } from 'zod'
import type { Priority } from '../../../kernel/event.ts'
import {
  absent,
  bounded,
  type Fact,
  type Family,
  family,
  inRepository,
  labelNames,
  labels,
  lookup,
  lowest,
  text,
  user,
} from './family.ts'

const issue = z.object({
  id: z.number(),
  number: z.number(),
  html_url: z.string(),
  title: text,
  body: text,
  state: text,
  user,
  author_association: text,
  created_at: text,
  updated_at: text,
  labels,
  pull_request: z.object({}).nullish(),
})

const issuesBody = inRepository.extend({
  issue,
  label: z.object({ name: z.string() }).nullish(),
  assignee: user,
  comment: absent,
})

const issueTypes: Readonly<Record<string, readonly [type: string, priority: Priority]>> = {
  opened: ['ISSUE_OPENED', 'NORMAL'],
  closed: ['ISSUE_CLOSED', 'NORMAL'],
  reopened: ['ISSUE_REOPENED', 'NORMAL'],
  assigned: ['ISSUE_ASSIGNED', 'LOW'],
  labeled: ['ISSUE_LABELED', 'LOW'],
}

/** Row 25 of the table in facts/edges 1.5. */
export const issues: Family = family('issues', issuesBody, (body): readonly Fact[] => {
  const { issue, action } = body
  const row = lookup(issueTypes, action)
  if (!row) return []
  const [type, priority] = row
  const label = action === 'labeled' ? body.label?.name : undefined
  const assignee = action === 'assigned' ? body.assignee?.login : undefined
  // updated_at has whole seconds: two labels added at once are two facts.
  const detail = [label, assignee].filter(Boolean).map((part) => `:${part}`)
  const id = `${body.repository.full_name}#${issue.number}`
  return [
    {
      type,
      priority,
      subject: { kind: 'issue', id, url: issue.html_url },
      correlationId: id,
      dedupKey: `gh:issue:${issue.id}:${action}:${issue.updated_at ?? ''}${detail.join('')}`,
      occurredAt: action === 'opened' ? issue.created_at : issue.updated_at,
      integrity: lowest(issue.author_association),
      payload: {
        number: issue.number,
        title: bounded(issue.title),
        body: bounded(issue.body),
        author: issue.user?.login ?? null,
        author_association: issue.author_association ?? null,
        state: issue.state ?? null,
        labels: labelNames(issue.labels),
        label,
        assignee,
      },
    },
  ]
})

const commentBody = inRepository.extend({
  issue,
  comment: z.object({
    id: z.number(),
    html_url: z.string(),
    body: text,
    user,
    author_association: text,
    created_at: text,
  }),
})

/** Row 24: a comment on a pull request is an `issue_comment` too. */
export const issueComment: Family = family('issue_comment', commentBody, (body): readonly Fact[] => {
  const { issue, comment, action } = body
  if (action !== 'created') return []
  const onPull = Boolean(issue.pull_request)
  const id = `${body.repository.full_name}#${issue.number}`
  return [
    {
      type: onPull ? 'PR_COMMENTED' : 'ISSUE_COMMENTED',
      priority: 'LOW',
      subject: { kind: onPull ? 'pull_request' : 'issue', id, url: comment.html_url },
      correlationId: id,
      dedupKey: `gh:ic:${comment.id}:created`,
      occurredAt: comment.created_at,
      integrity: lowest(comment.author_association, issue.author_association),
      payload: {
        number: issue.number,
        title: bounded(issue.title),
        body: bounded(comment.body),
        author: comment.user?.login ?? null,
        author_association: comment.author_association ?? null,
        state: issue.state ?? null,
        labels: labelNames(issue.labels),
        comment_id: comment.id,
      },
    },
  ]
})
