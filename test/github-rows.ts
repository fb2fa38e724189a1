// One line per row of the table in facts/edges 1.5, for the tests of the gateway.
import { unmappedType } from '../src/gateway/source.ts'
import { acting, changed, sample } from './github-samples.ts'

export type Row = readonly [
  row: string,
  event: string,
  body: Readonly<Record<string, unknown>>,
  expected: readonly (readonly [type: string, priority: string, subject: string, dedupKey: string])[],
]

export const pr = (action: string): Readonly<Record<string, unknown>> =>
  changed(sample('pull_request', acting(action)), {
    'pull_request.id': 7,
    'pull_request.number': 12,
    number: 12,
    'pull_request.updated_at': 'T',
    'repository.full_name': 'octo/shop',
  })
const inRepo = (body: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  changed(body, { 'repository.full_name': 'octo/shop', 'repository.id': 5, 'repository.default_branch': 'main' })
export const push = (changes: object): Readonly<Record<string, unknown>> =>
  changed(inRepo(sample('push')), { ref: 'refs/heads/main', before: 'b', after: 'a', forced: false, ...changes })
const alert = (event: string, action: string, changes: object = {}): Readonly<Record<string, unknown>> =>
  changed(inRepo(sample(event)), { action, 'alert.number': 3, 'alert.updated_at': 'T', ...changes })
export const run = (changes: object): Readonly<Record<string, unknown>> =>
  changed(inRepo(sample('workflow_run', acting('completed'))), {
    'workflow_run.id': 9,
    'workflow_run.head_sha': 'a',
    'workflow_run.head_branch': 'main',
    'workflow_run.event': 'push',
    'workflow_run.run_attempt': 2,
    'workflow_run.head_repository': { full_name: 'octo/shop' },
    'workflow.name': 'CI',
    ...changes,
  })
export const secret = {
  action: 'created',
  alert: {
    number: 3,
    html_url: 'https://github.com/octo/shop/security/secret-scanning/3',
    state: 'open',
    secret_type: 'github_personal_access_token',
    secret_type_display_name: 'GitHub Personal Access Token',
    secret: 'ghp_leaked',
    created_at: '2026-11-22T10:00:00Z',
  },
  repository: { id: 5, full_name: 'octo/shop', html_url: 'https://github.com/octo/shop', default_branch: 'main' },
  sender: { login: 'github', id: 9919, type: 'Organization' },
}

// prettier-ignore
export const rows: readonly Row[] = [
  ['16', 'pull_request', pr('opened'), [['PR_OPENED', 'NORMAL', 'octo/shop#12', 'gh:pr:7:opened']]],
  ['16', 'pull_request', pr('ready_for_review'), [['PR_READY', 'NORMAL', 'octo/shop#12', 'gh:pr:7:ready:T']]],
  ['17', 'pull_request', changed(pr('opened'), { 'pull_request.draft': true }), [['PR_DRAFTED', 'LOW', 'octo/shop#12', 'gh:pr:7:draft:T']]],
  ['17', 'pull_request', pr('converted_to_draft'), [['PR_DRAFTED', 'LOW', 'octo/shop#12', 'gh:pr:7:draft:T']]],
  ['18', 'pull_request', changed(pr('synchronize'), { after: 'a' }), [['PR_UPDATED', 'NORMAL', 'octo/shop#12', 'gh:pr:7:head:a']]],
  ['19', 'pull_request', changed(pr('review_requested'), { requested_reviewer: { login: 'ann' } }), [['PR_REVIEW_REQUESTED', 'NORMAL', 'octo/shop#12', 'gh:pr:7:review_requested:ann:T']]],
  ['19', 'pull_request', changed(pr('review_request_removed'), { requested_reviewer: null, requested_team: { slug: 'core' } }), [['PR_REVIEW_WITHDRAWN', 'NORMAL', 'octo/shop#12', 'gh:pr:7:review_request_removed:core:T']]],
  ['20', 'pull_request', changed(pr('closed'), { 'pull_request.merged': true }), [['PR_MERGED', 'NORMAL', 'octo/shop#12', 'gh:pr:7:merged']]],
  ['20', 'pull_request', changed(pr('closed'), { 'pull_request.closed_at': 'C' }), [['PR_CLOSED', 'NORMAL', 'octo/shop#12', 'gh:pr:7:closed:C']]],
  ['21', 'pull_request', pr('reopened'), [['PR_REOPENED', 'LOW', 'octo/shop#12', 'gh:pr:7:reopened:T']]],
  ['21', 'pull_request', changed(pr('labeled'), { label: { name: 'bug' } }), [['PR_LABELED', 'LOW', 'octo/shop#12', 'gh:pr:7:labeled:T:bug']]],
  ['21', 'pull_request', changed(pr('assigned'), { assignee: { login: 'ann' } }), [['PR_ASSIGNED', 'LOW', 'octo/shop#12', 'gh:pr:7:assigned:T:ann']]],
  ...(['approved', 'changes_requested', 'commented'] as const).map((state): Row => {
    const body = changed(inRepo(sample('pull_request_review', acting('submitted'))), {
      'review.id': 4,
      'review.state': state,
      'pull_request.number': 12,
    })
    const type = { approved: 'PR_APPROVED', changes_requested: 'PR_CHANGES_REQUESTED', commented: 'PR_REVIEWED' }[state]
    return ['22', 'pull_request_review', body, [[type, 'NORMAL', 'octo/shop#12', `gh:review:4:${state}`]]]
  }),
  [
    '23',
    'pull_request_review_comment',
    changed(inRepo(sample('pull_request_review_comment', acting('created'))), {
      'comment.id': 8,
      'pull_request.number': 12,
    }),
    [['PR_REVIEW_COMMENTED', 'LOW', 'octo/shop#12', 'gh:rc:8']],
  ],
  [
    '23',
    'pull_request_review_thread',
    changed(inRepo(sample('pull_request_review_thread', acting('resolved'))), {
      'thread.node_id': 'N',
      'pull_request.number': 12,
      updated_at: 'T',
    }),
    [['PR_THREAD_RESOLVED', 'LOW', 'octo/shop#12', 'gh:thread:N:resolved:T']],
  ],
  [
    '24',
    'issue_comment',
    changed(inRepo(sample('issue_comment', acting('created'))), {
      'comment.id': 8,
      'issue.number': 12,
      'issue.pull_request': { url: 'u' },
    }),
    [['PR_COMMENTED', 'LOW', 'octo/shop#12', 'gh:ic:8:created']],
  ],
  ['24', 'issue_comment', changed(inRepo(sample('issue_comment', acting('created'))), { 'comment.id': 8, 'issue.number': 12 }), [['ISSUE_COMMENTED', 'LOW', 'octo/shop#12', 'gh:ic:8:created']]],
  ['25', 'issues', changed(inRepo(sample('issues', acting('opened'))), { 'issue.id': 6, 'issue.number': 12, 'issue.updated_at': 'T' }), [['ISSUE_OPENED', 'NORMAL', 'octo/shop#12', 'gh:issue:6:opened:T']]],
  [
    '25',
    'issues',
    changed(inRepo(sample('issues', acting('labeled'))), {
      'issue.id': 6,
      'issue.number': 12,
      'issue.updated_at': 'T',
      label: { name: 'bug' },
    }),
    [['ISSUE_LABELED', 'LOW', 'octo/shop#12', 'gh:issue:6:labeled:T:bug']],
  ],
  ['26', 'push', push({ ref: 'refs/heads/topic' }), [['CODE_PUSHED', 'LOW', 'octo/shop@topic', 'gh:push:5:refs/heads/topic:b:a']]],
  ['26', 'push', push({ ref: 'refs/heads/topic', forced: true }), [['CODE_PUSHED', 'LOW', 'octo/shop@topic', 'gh:push:5:refs/heads/topic:b:a']]],
  [
    '27',
    'push',
    push({ forced: true }),
    [
      ['CODE_PUSHED', 'LOW', 'octo/shop@main', 'gh:push:5:refs/heads/main:b:a'],
      ['BRANCH_FORCE_PUSHED', 'HIGH', 'octo/shop@main', 'gh:push:5:refs/heads/main:b:a:forced'],
    ],
  ],
  ['28', 'create', changed(inRepo(sample('create')), { ref: 'v1', ref_type: 'tag' }), [['TAG_CREATED', 'LOW', 'octo/shop@v1', 'gh:create:5:tag:v1:d-1']]],
  ['28', 'create', changed(inRepo(sample('create')), { ref: 'topic', ref_type: 'branch' }), [['BRANCH_CREATED', 'LOW', 'octo/shop@topic', 'gh:create:5:branch:topic:d-1']]],
  ['28', 'delete', changed(inRepo(sample('delete')), { ref: 'topic', ref_type: 'branch' }), [['BRANCH_DELETED', 'LOW', 'octo/shop@topic', 'gh:delete:5:branch:topic:d-1']]],
  ['29', 'release', changed(inRepo(sample('release', acting('published'))), { 'release.id': 2, 'release.tag_name': 'v1' }), [['RELEASE_PUBLISHED', 'NORMAL', 'octo/shop@v1', 'gh:release:2:published']]],
  ['30', 'workflow_run', run({ 'workflow_run.conclusion': 'failure' }), [['CI_FAILED', 'HIGH', 'octo/shop@a:CI', 'gh:wr:9:2']]],
  ['30', 'workflow_run', run({ 'workflow_run.conclusion': 'timed_out', 'workflow_run.head_branch': 'topic' }), [['CI_FAILED', 'NORMAL', 'octo/shop@a:CI', 'gh:wr:9:2']]],
  ['31', 'workflow_run', run({ 'workflow_run.conclusion': 'success' }), [['CI_PASSED', 'LOW', 'octo/shop@a:CI', 'gh:wr:9:2']]],
  ['31', 'workflow_run', run({ 'workflow_run.conclusion': 'cancelled' }), [['CI_CANCELLED', 'LOW', 'octo/shop@a:CI', 'gh:wr:9:2']]],
  [
    '32',
    'check_run',
    changed(inRepo(sample('check_run', acting('completed'))), {
      'check_run.id': 9,
      'check_run.app.slug': 'x',
      'check_run.conclusion': 'failure',
      'check_run.completed_at': 'T',
      'check_run.head_sha': 'a',
      'check_run.name': 'lint',
    }),
    [['CI_FAILED', 'NORMAL', 'octo/shop@a:lint', 'gh:cr:9:T']],
  ],
  [
    '32',
    'check_suite',
    changed(inRepo(sample('check_suite', acting('completed'))), {
      'check_suite.id': 9,
      'check_suite.updated_at': 'T',
      'check_suite.head_sha': 'a',
      'check_suite.app': { slug: 'x', name: 'X' },
    }),
    [['CI_PASSED', 'LOW', 'octo/shop@a:X', 'gh:cs:9:T']],
  ],
  ['32', 'status', changed(inRepo(sample('status')), { id: 9, state: 'error', sha: 'a', context: 'ci/x' }), [['CI_FAILED', 'NORMAL', 'octo/shop@a:ci/x', 'gh:st:9']]],
  [
    '33',
    'check_run',
    changed(inRepo(sample('check_run', acting('requested_action'))), {
      'check_run.id': 9,
      'check_run.head_sha': 'a',
      'check_run.name': 'lint',
      requested_action: { identifier: 'fix' },
    }),
    [['CHECK_ACTION_REQUESTED', 'HIGH', 'octo/shop@a:lint', 'gh:cr:9:fix:d-1']],
  ],
  ['34', 'merge_group', changed(inRepo(sample('merge_group')), { 'merge_group.head_sha': 'a' }), [['MERGE_QUEUED', 'LOW', 'octo/shop@a', 'gh:mg:a:checks_requested']]],
  ['34', 'merge_group', changed(inRepo(sample('merge_group')), { action: 'destroyed', 'merge_group.head_sha': 'a' }), [['MERGE_DEQUEUED', 'LOW', 'octo/shop@a', 'gh:mg:a:destroyed']]],
  ['35', 'deployment_status', changed(inRepo(sample('deployment_status')), { 'deployment_status.id': 4, 'deployment_status.state': 'error' }), [['DEPLOY_FAILED', 'HIGH', 'octo/shop:production', 'gh:ds:4']]],
  ['36', 'deployment_review', changed(inRepo(sample('deployment_review')), { 'workflow_run.id': 4 }), [['DEPLOY_APPROVAL_REQUESTED', 'HIGH', 'octo/shop:TST', 'gh:dr:4:TST:requested']]],
  ['37', 'dependabot_alert', alert('dependabot_alert', 'reintroduced', { 'alert.security_vulnerability.severity': 'critical' }), [['VULN_DETECTED', 'HIGH', 'octo/shop/dependabot/3', 'gh:dep:5:3:reintroduced:T']]],
  ['37', 'dependabot_alert', alert('dependabot_alert', 'dismissed'), [['VULN_RESOLVED', 'LOW', 'octo/shop/dependabot/3', 'gh:dep:5:3:dismissed:T']]],
  ['38', 'code_scanning_alert', alert('code_scanning_alert', 'created', { 'alert.rule.severity': 'error' }), [['CODE_FLAW_DETECTED', 'HIGH', 'octo/shop/code-scanning/3', 'gh:cs:5:3:created']]],
  ['38', 'code_scanning_alert', alert('code_scanning_alert', 'fixed'), [['CODE_FLAW_RESOLVED', 'NORMAL', 'octo/shop/code-scanning/3', 'gh:cs:5:3:fixed:T']]],
  ['39', 'secret_scanning_alert', secret, [['SECRET_LEAKED', 'HIGH', 'octo/shop/secret-scanning/3', 'gh:ss:5:3:created']]],
  ['39', 'secret_scanning_alert', changed(secret, { action: 'resolved', 'alert.updated_at': 'T' }), [['SECRET_RESOLVED', 'LOW', 'octo/shop/secret-scanning/3', 'gh:ss:5:3:resolved:T']]],
  ['40', 'security_advisory', sample('security_advisory', acting('published')), [['ADVISORY_PUBLISHED', 'NORMAL', 'GHSA-rf4j-j272-fj86', 'gh:ghsa:GHSA-rf4j-j272-fj86:published:2018-10-03T21:13:54Z']]],
  ['41', 'branch_protection_rule', changed(inRepo(sample('branch_protection_rule', acting('edited'))), { 'rule.id': 4, 'rule.updated_at': 'T' }), [['POLICY_WEAKENED', 'HIGH', 'octo/shop', 'gh:bpr:4:T']]],
  [
    '41',
    'branch_protection_rule',
    changed(inRepo(sample('branch_protection_rule', acting('edited'))), {
      action: 'deleted',
      'rule.id': 4,
      'rule.updated_at': 'T',
    }),
    [['POLICY_WEAKENED', 'HIGH', 'octo/shop', 'gh:bpr:4:T:deleted']],
  ],
  ['41', 'repository', inRepo(sample('repository', acting('publicized'))), [['POLICY_WEAKENED', 'HIGH', 'octo/shop', 'gh:repository:5:publicized:d-1']]],
  ['42', 'repository', changed(inRepo(sample('repository', acting('created'))), { action: 'archived' }), [['REPO_ARCHIVED', 'LOW', 'octo/shop', 'gh:repository:5:archived:d-1']]],
  ['42', 'member', changed(inRepo(sample('member', acting('added'))), { 'member.id': 1, 'member.login': 'ann' }), [['MEMBER_ADDED', 'NORMAL', 'ann', 'gh:member:1:added:d-1']]],
  ['42', 'membership', changed(sample('membership', acting('removed')), { 'member.id': 1, 'member.login': 'ann' }), [['MEMBER_REMOVED', 'NORMAL', 'ann', 'gh:membership:1:removed:d-1']]],
  ['60', 'star', inRepo(sample('star')), [[unmappedType, 'BACKGROUND', 'octo/shop', 'gh:delivery:d-1']]],
  ['60', 'a_new_event', { action: 'x' }, [[unmappedType, 'BACKGROUND', 'd-1', 'gh:delivery:d-1']]],
]
