import { isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { integrities, priorities } from '../../kernel/event.ts'
import { unmappedType } from '../source.ts'
import { context, drafts, nativeOf, samples, samplesOf } from '../../../test/github-samples.ts'
import { github, githubEvents } from './github.ts'

const draftSchema = z.object({
  type: z.string().regex(/^[A-Z][A-Z0-9_]{2,99}$/),
  subject: z.object({ kind: z.string().min(1), id: z.string().min(1), url: z.url().nullable() }),
  actor: z.object({
    kind: z.enum(['user', 'bot', 'system']),
    id: z.string().min(1),
    display: z.string().min(1),
    integrity: z.enum(integrities),
  }),
  priority: z.enum(priorities),
  dedupKey: z.string().regex(/^gh:[a-z]+:[^:]/),
  occurredAt: z.date(),
  payload: z.looseObject({
    repo: z.string().nullable(),
    action: z.string().nullable(),
    sender: z.string().nullable(),
    url: z.string().nullable(),
    github: z.looseObject({}),
  }),
  correlationId: z.string().min(1).nullable(),
  scope: z.string().nullable(),
  self: z.boolean(),
  marker: z.null(),
})

describe('every published sample', () => {
  it.each(['api.github.com', 'ghes-31', 'ghes-32', 'ghes-33', 'ghes-34', 'ghes-35'])(
    'of %s becomes valid events, whose fields are JSON',
    (set) => {
      const all = samplesOf(set)
      expect(all.length).toBeGreaterThan(set === 'api.github.com' ? 328 : 40)
      const problems = all.flatMap(({ event, index, body }) => {
        if (event === 'ping') return []
        const made = drafts(event, body)
        const keys = new Set(made.map((draft) => draft.dedupKey))
        if (made.length === 0 || keys.size !== made.length) return [`${event} ${index}: ${made.length} events`]
        return made.flatMap((draft) => {
          const result = draftSchema.safeParse(draft)
          if (!result.success) return [`${event} ${index}: ${result.error.message}`]
          return isDeepStrictEqual(JSON.parse(JSON.stringify(draft.payload)), draft.payload)
            ? []
            : [`${event} ${index}: the payload is not plain JSON`]
        })
      })
      expect(problems).toEqual([])
    },
  )

  it('has exactly one kind of event type per activity', () => {
    const table = new Map<string, Set<string>>()
    for (const { event, body } of samples) {
      if (event === 'ping') continue
      for (const { type } of drafts(event, body)) {
        if (type === unmappedType) continue
        const key = typeof body['action'] === 'string' ? `${event}.${body['action']}` : event
        table.set(key, (table.get(key) ?? new Set()).add(type))
      }
    }
    const found = Object.fromEntries([...table].map(([key, types]) => [key, [...types].sort().join(' ')]))
    expect(found).toEqual({
      'branch_protection_rule.deleted': 'POLICY_WEAKENED',
      'branch_protection_rule.edited': 'POLICY_WEAKENED',
      'check_run.completed': 'CI_PASSED',
      'check_run.requested_action': 'CHECK_ACTION_REQUESTED',
      'check_suite.completed': 'CI_PASSED',
      'code_scanning_alert.closed_by_user': 'CODE_FLAW_RESOLVED',
      'code_scanning_alert.created': 'CODE_FLAW_DETECTED',
      'code_scanning_alert.fixed': 'CODE_FLAW_RESOLVED',
      'code_scanning_alert.reopened': 'CODE_FLAW_DETECTED',
      create: 'TAG_CREATED',
      delete: 'TAG_DELETED',
      'dependabot_alert.created': 'VULN_DETECTED',
      'dependabot_alert.fixed': 'VULN_RESOLVED',
      'deployment_review.requested': 'DEPLOY_APPROVAL_REQUESTED',
      'deployment_status.created': 'DEPLOY_STARTED DEPLOY_SUCCEEDED',
      'issue_comment.created': 'ISSUE_COMMENTED',
      'issues.assigned': 'ISSUE_ASSIGNED',
      'issues.labeled': 'ISSUE_LABELED',
      'issues.opened': 'ISSUE_OPENED',
      'issues.reopened': 'ISSUE_REOPENED',
      'member.added': 'MEMBER_ADDED',
      'membership.added': 'MEMBER_ADDED',
      'membership.removed': 'MEMBER_REMOVED',
      'merge_group.checks_requested': 'MERGE_QUEUED',
      'organization.member_added': 'MEMBER_ADDED',
      'pull_request.assigned': 'PR_ASSIGNED',
      'pull_request.closed': 'PR_CLOSED',
      'pull_request.converted_to_draft': 'PR_DRAFTED',
      'pull_request.labeled': 'PR_LABELED',
      'pull_request.opened': 'PR_OPENED',
      'pull_request.ready_for_review': 'PR_READY',
      'pull_request.reopened': 'PR_REOPENED',
      'pull_request.review_request_removed': 'PR_REVIEW_WITHDRAWN',
      'pull_request.review_requested': 'PR_REVIEW_REQUESTED',
      'pull_request.synchronize': 'PR_UPDATED',
      'pull_request.unlabeled': 'PR_LABELED',
      'pull_request_review.dismissed': 'PR_REVIEW_DISMISSED',
      'pull_request_review.submitted': 'PR_REVIEWED',
      'pull_request_review_comment.created': 'PR_REVIEW_COMMENTED',
      'pull_request_review_thread.resolved': 'PR_THREAD_RESOLVED',
      push: 'CODE_PUSHED',
      'release.published': 'RELEASE_PUBLISHED',
      'repository.created': 'REPO_CREATED',
      'repository.publicized': 'POLICY_WEAKENED',
      'repository.transferred': 'REPO_TRANSFERRED',
      'security_advisory.published': 'ADVISORY_PUBLISHED',
      status: 'CI_PASSED',
      'workflow_run.completed': 'CI_PASSED',
    })
  })

  it('is refused under the name of any other mapped event, or gets no type there', () => {
    const accepted: string[] = []
    for (const { event, body } of samples) {
      const native = nativeOf(event, body)
      for (const claimed of native ? githubEvents : []) {
        if (!native || claimed === event) continue
        const normalised = github.normalise({ ...native, event: claimed }, context)
        const types = normalised.kind === 'events' ? normalised.drafts.map((draft) => draft.type) : []
        if (types.some((type) => type !== unmappedType))
          accepted.push(`${event}.${String(body['action'])} as ${claimed}: ${types.join()}`)
      }
    }
    expect([...new Set(accepted)]).toEqual([])
  })
})
