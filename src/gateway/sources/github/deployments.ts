import { z } from 'zod'
import { bounded, type Fact, type Family, family, inRepository, lookup, text, user } from './family.ts'

const deploymentStatusBody = inRepository.extend({
  action: text, // GitHub Enterprise Server before 3.6 sends none
  deployment_status: z.object({
    id: z.number(),
    state: z.string(),
    description: text,
    environment: text,
    target_url: text,
    log_url: text,
    creator: user,
    updated_at: text,
    created_at: text,
  }),
  deployment: z.object({ id: z.number(), sha: z.string(), ref: text, environment: text }),
})

const deployTypes: Readonly<Record<string, string>> = {
  in_progress: 'DEPLOY_STARTED',
  success: 'DEPLOY_SUCCEEDED',
  failure: 'DEPLOY_FAILED',
  error: 'DEPLOY_FAILED',
}

/** Row 35 of the table in facts/edges 1.5. */
export const deploymentStatus: Family = family('deployment_status', deploymentStatusBody, (body): readonly Fact[] => {
  const { deployment_status: status, deployment, repository: repo } = body
  const type = lookup(deployTypes, status.state)
  if (!type) return []
  const environment = status.environment ?? deployment.environment ?? 'unknown'
  return [
    {
      type,
      priority: type === 'DEPLOY_FAILED' ? 'HIGH' : 'NORMAL',
      subject: {
        kind: 'environment',
        id: `${repo.full_name}:${environment}`,
        url: status.target_url || status.log_url || repo.html_url,
      },
      correlationId: `${repo.full_name}@${deployment.sha}`,
      dedupKey: `gh:ds:${status.id}`,
      occurredAt: status.updated_at ?? status.created_at,
      integrity: 'member',
      payload: {
        environment,
        state: status.state,
        body: bounded(status.description),
        ref: deployment.ref ?? null,
        branch: deployment.ref ?? null,
        default_branch: repo.default_branch ?? null,
        head_sha: deployment.sha,
        author: status.creator?.login ?? null,
      },
    },
  ]
})

const jobRun = z.object({ environment: text })
const deploymentReviewBody = inRepository.extend({
  workflow_run: z.object({
    id: z.number(),
    name: text,
    html_url: z.string(),
    head_branch: text,
    head_sha: z.string(),
    updated_at: text,
  }),
  since: z.string(),
  environment: text,
  workflow_job_run: jobRun.nullish(),
  workflow_job_runs: z.array(jobRun).nullish(),
  comment: text,
  approver: user,
})

/** Row 36. */
export const deploymentReview: Family = family('deployment_review', deploymentReviewBody, (body): readonly Fact[] => {
  const { workflow_run: run, action, repository: repo } = body
  if (action !== 'requested' && action !== 'approved' && action !== 'rejected') return []
  const environment =
    body.environment ?? body.workflow_job_run?.environment ?? body.workflow_job_runs?.[0]?.environment ?? 'unknown'
  return [
    {
      type: action === 'requested' ? 'DEPLOY_APPROVAL_REQUESTED' : 'DEPLOY_APPROVAL_DECIDED',
      priority: 'HIGH',
      subject: { kind: 'environment', id: `${repo.full_name}:${environment}`, url: run.html_url },
      correlationId: `${repo.full_name}@${run.head_sha}`,
      dedupKey: `gh:dr:${run.id}:${environment}:${action}`,
      occurredAt: run.updated_at ?? body.since,
      integrity: 'outsider', // the run is named after a branch or title that may be anybody's
      payload: {
        environment,
        state: action,
        body: bounded(body.comment),
        title: bounded(run.name, 1_000),
        workflow: run.name ?? null,
        branch: run.head_branch ?? null,
        default_branch: repo.default_branch ?? null,
        head_sha: run.head_sha,
      },
    },
  ]
})
