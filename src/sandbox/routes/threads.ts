import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import {
  type Api,
  ApiError,
  bodyOf,
  callerOf,
  checkedText,
  notFound,
  nowOf,
  page,
  param,
  query,
  repositoryOf,
  since,
  threadOf,
} from '../api.ts'
import type { Account, Comment, Repository, Thread } from '../github-state.ts'
import { ensureThread } from '../seed.ts'

const issueInput = z.object({
  title: z.string().optional(),
  body: z.string().nullish(),
  labels: z.array(z.union([z.string(), z.object({ name: z.string() })])).optional(),
  assignees: z.array(z.string()).optional(),
  state: z.enum(['open', 'closed']).optional(),
})
const commentInput = z.object({ body: z.string() })

/** Issues, the issue side of pull requests, and their comments. https://docs.github.com/en/rest/issues */
export function threadRoutes(app: FastifyInstance, api: Api): void {
  issueReads(app, api)
  issueWrites(app, api)
  threadComments(app, api)
  singleComments(app, api)
}

function issueReads(app: FastifyInstance, api: Api): void {
  const { shapes } = api

  app.get('/repos/:owner/:repo/issues', async (request, reply) => {
    const repository = repositoryOf(api, request)
    const { state: wanted = 'open', creator, labels, since: from, direction } = query(request)
    const names = labels?.split(',').map((name) => name.toLowerCase()) ?? []
    const found = [...repository.threads.values()]
      .filter((thread) => wanted === 'all' || thread.state === wanted)
      .filter((thread) => !creator || thread.author.login.toLowerCase() === creator.toLowerCase())
      .filter((thread) => names.every((name) => thread.labels.some((label) => label.toLowerCase() === name)))
      .toSorted((a, b) => b.createdAt.localeCompare(a.createdAt) || b.number - a.number)
    if (direction === 'asc') found.reverse()
    const listed = page(
      api,
      request,
      reply,
      since(found, (thread) => thread.updatedAt, from),
    )
    return listed.map((thread) => shapes.issue(repository, thread))
  })

  app.get('/repos/:owner/:repo/issues/:number', async (request) => {
    const { repository, thread } = threadOf(api, request)
    return shapes.issue(repository, thread)
  })
}

function issueWrites(app: FastifyInstance, api: Api): void {
  const { state, shapes, echo } = api

  app.post('/repos/:owner/:repo/issues', async (request, reply) => {
    const repository = repositoryOf(api, request)
    const caller = callerOf(api, request)
    const input = bodyOf(request, 'Issue', issueInput)
    const title = checkedText('Issue', 'title', input.title)
    if (title.length > 256)
      throw new ApiError(422, 'Validation Failed', [
        { resource: 'Issue', field: 'title', code: 'custom', message: 'title is too long (maximum is 256 characters)' },
      ])
    const body = input.body ? checkedText('Issue', 'body', input.body) : ''
    const labels = labelNames(input.labels ?? [])
    const seed = {
      title,
      body,
      user: caller.login,
      association: associationOf(repository, caller),
      state: 'open',
      labels,
    } as const
    const thread = ensureThread(state, repository, seed, nowOf(api))
    thread.assignees = (input.assignees ?? []).map((login) => state.account(login))
    const issue = shapes.issue(repository, thread)
    echo.emit('issues', { action: 'opened', issue }, repository, caller)
    return reply.code(201).send(issue)
  })

  app.patch('/repos/:owner/:repo/issues/:number', async (request) => {
    const { repository, thread } = threadOf(api, request)
    const caller = callerOf(api, request)
    const input = bodyOf(request, 'Issue', issueInput)
    const before = { title: thread.title, body: thread.body, state: thread.state }
    if (input.title !== undefined) thread.title = checkedText('Issue', 'title', input.title)
    if (input.body !== undefined) thread.body = input.body ? checkedText('Issue', 'body', input.body) : ''
    if (input.labels) thread.labels = labelNames(input.labels)
    if (input.assignees) thread.assignees = input.assignees.map((login) => state.account(login))
    if (input.state) thread.state = input.state
    thread.updatedAt = nowOf(api)
    if (before.state !== thread.state) thread.closedAt = thread.state === 'closed' ? thread.updatedAt : null
    if (before.title !== thread.title || before.body !== thread.body) {
      const changes = {
        ...(before.title !== thread.title && { title: { from: before.title } }),
        ...(before.body !== thread.body && { body: { from: before.body } }),
      }
      emitThread(api, repository, thread, caller, { action: 'edited', changes })
    }
    if (before.state !== thread.state)
      emitThread(api, repository, thread, caller, { action: thread.state === 'closed' ? 'closed' : 'reopened' })
    return shapes.issue(repository, thread)
  })
}

function threadComments(app: FastifyInstance, api: Api): void {
  const { state, shapes, echo } = api
  const comments = '/repos/:owner/:repo/issues/:number/comments'

  app.get(comments, async (request, reply) => {
    const { repository, thread } = threadOf(api, request)
    const found = since(thread.comments, (comment) => comment.updatedAt, query(request)['since'])
    return page(api, request, reply, found).map((comment) => shapes.comment(repository, thread, comment))
  })

  app.post(comments, async (request, reply) => {
    const { repository, thread } = threadOf(api, request)
    const caller = callerOf(api, request)
    const body = checkedText('IssueComment', 'body', bodyOf(request, 'IssueComment', commentInput).body)
    if (thread.locked) throw new ApiError(403, 'Unable to create comment because issue is locked.')
    const now = nowOf(api)
    const association = associationOf(repository, caller)
    const comment: Comment = { id: state.id(), author: caller, association, body, createdAt: now, updatedAt: now }
    thread.comments.push(comment)
    thread.updatedAt = now
    const shape = shapes.comment(repository, thread, comment)
    echo.emit(
      'issue_comment',
      { action: 'created', issue: shapes.issue(repository, thread), comment: shape },
      repository,
      caller,
    )
    return reply.code(201).send(shape)
  })
}

function singleComments(app: FastifyInstance, api: Api): void {
  const { state, shapes, echo } = api
  const one = '/repos/:owner/:repo/issues/comments/:id'
  const find = (repository: Repository, id: string): { thread: Thread; comment: Comment } => {
    const found = state.comment(repository, Number(id))
    if (!found) throw notFound()
    return found
  }

  app.get(one, async (request) => {
    const repository = repositoryOf(api, request)
    const { thread, comment } = find(repository, param(request, 'id'))
    return shapes.comment(repository, thread, comment)
  })

  app.patch(one, async (request) => {
    const repository = repositoryOf(api, request)
    const caller = callerOf(api, request)
    const { thread, comment } = find(repository, param(request, 'id'))
    const from = comment.body
    comment.body = checkedText('IssueComment', 'body', bodyOf(request, 'IssueComment', commentInput).body)
    comment.updatedAt = nowOf(api)
    const shape = shapes.comment(repository, thread, comment)
    const issue = shapes.issue(repository, thread)
    echo.emit(
      'issue_comment',
      { action: 'edited', changes: { body: { from } }, issue, comment: shape },
      repository,
      caller,
    )
    return shape
  })

  app.delete(one, async (request, reply) => {
    const repository = repositoryOf(api, request)
    const caller = callerOf(api, request)
    const { thread, comment } = find(repository, param(request, 'id'))
    thread.comments.splice(thread.comments.indexOf(comment), 1)
    const shape = shapes.comment(repository, thread, comment)
    echo.emit(
      'issue_comment',
      { action: 'deleted', issue: shapes.issue(repository, thread), comment: shape },
      repository,
      caller,
    )
    return reply.code(204).send()
  })
}

/** What happens to the issue side of a pull request is told as `pull_request`. */
export function emitThread(api: Api, repository: Repository, thread: Thread, caller: Account, body: object): void {
  const { shapes, echo } = api
  if (thread.pull)
    echo.emit(
      'pull_request',
      { ...body, number: thread.number, pull_request: shapes.pull(repository, thread) },
      repository,
      caller,
    )
  else echo.emit('issues', { ...body, issue: shapes.issue(repository, thread) }, repository, caller)
}

/** Our own account writes with a token that was given it; the owner is the owner. */
export function associationOf(repository: Repository, caller: Account): string {
  if (repository.fullName.toLowerCase().startsWith(`${caller.login.toLowerCase()}/`)) return 'OWNER'
  return caller.type === 'Bot' ? 'NONE' : 'COLLABORATOR'
}

function labelNames(given: readonly (string | { readonly name: string })[]): string[] {
  return [...new Set(given.map((label) => (typeof label === 'string' ? label : label.name)))]
}
