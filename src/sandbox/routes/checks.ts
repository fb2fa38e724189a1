import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type Api, bodyOf, callerOf, invalid, notFound, nowOf, page, param, query, repositoryOf } from '../api.ts'
import type { Account, CheckRun, Repository } from '../github-state.ts'

const conclusions = [
  'action_required',
  'cancelled',
  'failure',
  'neutral',
  'success',
  'skipped',
  'stale',
  'timed_out',
] as const
const runInput = z.object({
  name: z.string().min(1).optional(),
  head_sha: z.string().min(1).optional(),
  status: z.enum(['queued', 'in_progress', 'completed']).optional(),
  conclusion: z.enum(conclusions).optional(),
  external_id: z.string().optional(),
  details_url: z.string().optional(),
  completed_at: z.string().optional(),
  output: z
    .object({ title: z.string(), summary: z.string().max(65_535), text: z.string().max(65_535).nullish() })
    .optional(),
})

/** https://docs.github.com/en/rest/checks/runs; there only apps may write them, here every known token. */
export function checkRoutes(app: FastifyInstance, api: Api): void {
  checkReads(app, api)
  checkWrites(app, api)
}

const path = '/repos/:owner/:repo/check-runs'

function checkReads(app: FastifyInstance, api: Api): void {
  const { shapes } = api

  app.get('/repos/:owner/:repo/commits/:ref/check-runs', async (request, reply) => {
    const repository = repositoryOf(api, request)
    const { check_name: name, status, filter = 'latest' } = query(request)
    const found = repository.checkRuns
      .filter((run) => run.headSha === param(request, 'ref'))
      .filter((run) => (!name || run.name === name) && (!status || run.status === status))
      .toReversed()
    const latest = found.filter((run, index) => found.findIndex((other) => other.name === run.name) === index)
    const runs = filter === 'all' ? found : latest
    const listed = page(api, request, reply, runs)
    return { total_count: runs.length, check_runs: listed.map((run) => shapes.checkRun(repository, run)) }
  })

  app.get(`${path}/:id`, async (request) => {
    const repository = repositoryOf(api, request)
    return shapes.checkRun(repository, find(repository, param(request, 'id')))
  })
}

function checkWrites(app: FastifyInstance, api: Api): void {
  const { state, shapes } = api

  app.post(path, async (request, reply) => {
    const repository = repositoryOf(api, request)
    const caller = callerOf(api, request)
    const input = bodyOf(request, 'CheckRun', runInput)
    if (!input.name) throw invalid('CheckRun', 'name', 'missing_field')
    if (!input.head_sha) throw invalid('CheckRun', 'head_sha', 'missing_field')
    const completed = input.conclusion !== undefined || input.status === 'completed'
    if (completed && !input.conclusion) throw invalid('CheckRun', 'conclusion', 'missing_field')
    const now = nowOf(api)
    const run: CheckRun = {
      id: state.id(),
      name: input.name,
      headSha: input.head_sha,
      externalId: input.external_id ?? '',
      status: completed ? 'completed' : (input.status ?? 'queued'),
      conclusion: input.conclusion ?? null,
      detailsUrl: input.details_url ?? null,
      output: outputOf(input.output),
      app: caller,
      startedAt: now,
      completedAt: completed ? (input.completed_at ?? now) : null,
    }
    repository.checkRuns.push(run)
    emit(api, repository, run, caller, 'created')
    if (completed) emit(api, repository, run, caller, 'completed')
    return reply.code(201).send(shapes.checkRun(repository, run))
  })

  app.patch(`${path}/:id`, async (request) => {
    const repository = repositoryOf(api, request)
    const caller = callerOf(api, request)
    const run = find(repository, param(request, 'id'))
    const input = bodyOf(request, 'CheckRun', runInput)
    const wasOpen = run.status !== 'completed'
    if (input.status) run.status = input.status
    if (input.conclusion) {
      run.status = 'completed'
      run.conclusion = input.conclusion
    }
    if (run.status === 'completed') run.completedAt = input.completed_at ?? nowOf(api)
    if (input.external_id !== undefined) run.externalId = input.external_id
    if (input.details_url !== undefined) run.detailsUrl = input.details_url
    if (input.output) run.output = outputOf(input.output)
    if (wasOpen && run.status === 'completed') emit(api, repository, run, caller, 'completed')
    return shapes.checkRun(repository, run)
  })
}

function find(repository: Repository, id: string): CheckRun {
  const found = repository.checkRuns.find((run) => run.id === Number(id))
  if (!found) throw notFound()
  return found
}

function emit({ echo, shapes }: Api, repository: Repository, run: CheckRun, caller: Account, action: string): void {
  echo.emit('check_run', { action, check_run: shapes.checkRun(repository, run) }, repository, caller)
}

function outputOf(given: z.infer<typeof runInput>['output']): CheckRun['output'] {
  return { title: given?.title ?? null, summary: given?.summary ?? null, text: given?.text ?? null }
}
