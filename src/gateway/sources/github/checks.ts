import { z } from 'zod'
import {
  absent,
  bounded,
  count,
  type Fact,
  type Family,
  family,
  inRepository,
  lookup,
  repository,
  text,
  user,
} from './family.ts'

/** What a conclusion means; neutral, skipped, stale and action_required say neither passed nor failed. */
const ciTypes: Readonly<Record<string, string>> = {
  failure: 'CI_FAILED',
  timed_out: 'CI_FAILED',
  startup_failure: 'CI_FAILED',
  error: 'CI_FAILED',
  success: 'CI_PASSED',
  cancelled: 'CI_CANCELLED',
}

const pulls = z.array(z.object({ number: z.number() })).nullish()

const workflowRunBody = inRepository.extend({
  workflow: z.object({ name: text, path: text }).nullable(),
  workflow_run: z.object({
    id: z.number(),
    name: text,
    display_title: text,
    html_url: z.string(),
    event: text,
    status: text,
    conclusion: text,
    head_branch: text,
    head_sha: z.string(),
    run_attempt: count,
    updated_at: text,
    head_repository: z.object({ full_name: z.string() }).nullish(),
    pull_requests: pulls,
  }),
  deployment_status: absent,
})

/** Only people with write access set these off. A run is named after what did: for `issues` and comments after the issue, anybody's words. */
const membersEvents: ReadonlySet<string> = new Set([
  'push',
  'schedule',
  'workflow_dispatch',
  'repository_dispatch',
  'release',
  'create',
  'delete',
])

/** Rows 30 and 31 of the table in facts/edges 1.5. */
export const workflowRun: Family = family('workflow_run', workflowRunBody, (body): readonly Fact[] => {
  const { workflow_run: run, repository: repo } = body
  const type = body.action === 'completed' ? lookup(ciTypes, run.conclusion) : undefined
  if (!type) return []
  const workflow = body.workflow?.name ?? run.name ?? 'workflow'
  // Branch, title and commit message of a fork's pull request are written by its author.
  const foreign =
    run.event?.startsWith('pull_request') || (run.head_repository && run.head_repository.full_name !== repo.full_name)
  const onDefault = !foreign && run.head_branch === repo.default_branch
  return [
    {
      type,
      priority: type !== 'CI_FAILED' ? 'LOW' : onDefault ? 'HIGH' : 'NORMAL',
      subject: { kind: 'check', id: `${repo.full_name}@${run.head_sha}:${workflow}`, url: run.html_url },
      correlationId: `${repo.full_name}@${run.head_sha}`,
      dedupKey: `gh:wr:${run.id}:${run.run_attempt ?? 1}`,
      occurredAt: run.updated_at,
      integrity: !foreign && membersEvents.has(run.event ?? '') ? 'member' : 'outsider',
      payload: {
        title: bounded(run.display_title ?? run.name, 1_000),
        workflow,
        conclusion: run.conclusion ?? null,
        state: run.status ?? null,
        branch: run.head_branch ?? null,
        default_branch: repo.default_branch ?? null,
        on_default_branch: onDefault,
        head_sha: run.head_sha,
        attempt: run.run_attempt ?? 1,
        number: run.pull_requests?.[0]?.number,
      },
    },
  ]
})

const app = z.object({ slug: text, name: text }).nullish()

const checkRunBody = inRepository.extend({
  check_run: z.object({
    id: z.number(),
    name: z.string(),
    html_url: text,
    head_sha: z.string(),
    external_id: text,
    status: text,
    conclusion: text,
    completed_at: text,
    started_at: text,
    app,
    output: z.object({ title: text, summary: text }).nullish(),
    check_suite: z.object({ head_branch: text }).nullish(),
    pull_requests: pulls,
  }),
  requested_action: z.object({ identifier: z.string() }).nullish(),
  deployment_status: absent,
})

/** Rows 32 and 33. GitHub Actions reports by `workflow_run`, so its check runs are left out. */
export const checkRun: Family = family('check_run', checkRunBody, (body, deliveryId): readonly Fact[] => {
  const { check_run: run, repository: repo, action } = body
  const branch = run.check_suite?.head_branch ?? null
  const base = {
    subject: {
      kind: 'check',
      id: `${repo.full_name}@${run.head_sha}:${run.name}`,
      url: run.html_url ?? `${repo.html_url}/commit/${run.head_sha}`,
    },
    correlationId: `${repo.full_name}@${run.head_sha}`,
    // Without a branch the commit came from a fork.
    integrity: branch === null ? ('outsider' as const) : ('member' as const),
    payload: {
      title: bounded(run.output?.title ?? run.name, 1_000),
      body: bounded(run.output?.summary),
      workflow: run.name,
      app: run.app?.slug ?? null,
      conclusion: run.conclusion ?? null,
      state: run.status ?? null,
      branch,
      default_branch: repo.default_branch ?? null,
      on_default_branch: branch !== null && branch === repo.default_branch,
      head_sha: run.head_sha,
      check_run_id: run.id,
      external_id: run.external_id || undefined,
      number: run.pull_requests?.[0]?.number,
    },
  }
  if (action === 'requested_action') {
    const identifier = body.requested_action?.identifier ?? ''
    return [
      {
        ...base,
        type: 'CHECK_ACTION_REQUESTED',
        priority: 'HIGH',
        dedupKey: `gh:cr:${run.id}:${identifier}:${deliveryId}`,
        occurredAt: null,
        payload: { ...base.payload, identifier },
      },
    ]
  }
  const type =
    action === 'completed' && run.app?.slug !== 'github-actions' ? lookup(ciTypes, run.conclusion) : undefined
  if (!type) return []
  return [
    {
      ...base,
      type,
      priority: type === 'CI_FAILED' ? 'NORMAL' : 'LOW',
      // An app may reopen a check run and complete it again: another fact.
      dedupKey: `gh:cr:${run.id}:${run.completed_at ?? ''}`,
      occurredAt: run.completed_at,
    },
  ]
})

const checkSuiteBody = inRepository.extend({
  check_suite: z.object({
    id: z.number(),
    head_branch: text,
    head_sha: z.string(),
    status: text,
    conclusion: text,
    updated_at: text,
    app,
    pull_requests: pulls,
  }),
  check_run: absent,
})

/** Row 32. A suite has no html_url. */
export const checkSuite: Family = family('check_suite', checkSuiteBody, (body): readonly Fact[] => {
  const { check_suite: suite, repository: repo } = body
  const ours = body.action === 'completed' && suite.app?.slug !== 'github-actions'
  const type = ours ? lookup(ciTypes, suite.conclusion) : undefined
  if (!type) return []
  const name = suite.app?.name ?? suite.app?.slug ?? 'checks'
  const branch = suite.head_branch ?? null
  return [
    {
      type,
      priority: type === 'CI_FAILED' ? 'NORMAL' : 'LOW',
      subject: {
        kind: 'check',
        id: `${repo.full_name}@${suite.head_sha}:${name}`,
        url: `${repo.html_url}/commit/${suite.head_sha}/checks`,
      },
      correlationId: `${repo.full_name}@${suite.head_sha}`,
      dedupKey: `gh:cs:${suite.id}:${suite.updated_at ?? ''}`,
      occurredAt: suite.updated_at,
      integrity: branch === null ? 'outsider' : 'member',
      payload: {
        title: name,
        workflow: name,
        app: suite.app?.slug ?? null,
        conclusion: suite.conclusion ?? null,
        state: suite.status ?? null,
        branch,
        default_branch: repo.default_branch ?? null,
        on_default_branch: branch !== null && branch === repo.default_branch,
        head_sha: suite.head_sha,
        number: suite.pull_requests?.[0]?.number,
      },
    },
  ]
})

const statusBody = z.object({
  id: z.number(),
  sha: z.string(),
  context: z.string(),
  state: z.string(),
  description: text,
  target_url: text,
  updated_at: text,
  branches: z.array(z.object({ name: z.string() })).nullish(),
  commit: z.object({ html_url: text, commit: z.object({ message: text }).nullish() }).nullish(),
  sender: user,
  repository,
  action: absent,
})

/** Row 32: a status has no end of its own; `pending` is none. */
export const status: Family = family('status', statusBody, (body): readonly Fact[] => {
  const { repository: repo } = body
  const type = lookup(ciTypes, body.state)
  if (!type) return []
  const branches = (body.branches ?? []).map((branch) => branch.name)
  const onDefault = Boolean(repo.default_branch) && branches.includes(repo.default_branch ?? '')
  return [
    {
      type,
      priority: type === 'CI_FAILED' ? 'NORMAL' : 'LOW',
      subject: {
        kind: 'check',
        id: `${repo.full_name}@${body.sha}:${body.context}`,
        url: body.target_url || body.commit?.html_url || `${repo.html_url}/commit/${body.sha}`,
      },
      correlationId: `${repo.full_name}@${body.sha}`,
      dedupKey: `gh:st:${body.id}`,
      occurredAt: body.updated_at,
      integrity: 'outsider', // carries the message of a commit that may come from a fork
      payload: {
        title: body.context,
        body: bounded(body.description),
        workflow: body.context,
        state: body.state,
        conclusion: body.state,
        branch: onDefault ? repo.default_branch : (branches[0] ?? null),
        default_branch: repo.default_branch ?? null,
        on_default_branch: onDefault,
        head_sha: body.sha,
      },
    },
  ]
})
