import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import {
  type Api,
  bodyOf,
  callerOf,
  checkedText,
  invalid,
  notFound,
  nowOf,
  page,
  query,
  repositoryOf,
  threadOf,
} from '../api.ts'
import type { Pull, Repository, Review, Thread } from '../github-state.ts'
import { associationOf } from './threads.ts'

const reviewInput = z.object({
  event: z.enum(['APPROVE', 'REQUEST_CHANGES', 'COMMENT']).optional(),
  body: z.string().nullish(),
  commit_id: z.string().optional(),
})

const reviewStates = { APPROVE: 'APPROVED', REQUEST_CHANGES: 'CHANGES_REQUESTED', COMMENT: 'COMMENTED' } as const

/** https://docs.github.com/en/rest/pulls */
export function pullRoutes(app: FastifyInstance, api: Api): void {
  const { state, shapes, echo } = api
  const path = '/repos/:owner/:repo/pulls'

  app.get(path, async (request, reply) => {
    const repository = repositoryOf(api, request)
    const { state: wanted = 'open', head, base, sort, direction = 'desc' } = query(request)
    const at = (thread: Thread): string => (sort === 'updated' ? thread.updatedAt : thread.createdAt)
    const found = [...repository.threads.values()]
      .flatMap((thread) => (thread.pull ? [{ thread, pull: thread.pull }] : []))
      .filter(({ thread }) => wanted === 'all' || thread.state === wanted)
      .filter(({ pull }) => !head || pull.head.ref === head.split(':').at(-1))
      .filter(({ pull }) => !base || pull.base.ref === base)
      .toSorted((a, b) => at(b.thread).localeCompare(at(a.thread)) || b.thread.number - a.thread.number)
    if (direction === 'asc') found.reverse()
    return page(api, request, reply, found).map(({ thread }) => shapes.pull(repository, thread))
  })

  app.get(`${path}/:number`, async (request) => {
    const { repository, thread } = pullOf(api, request)
    return shapes.pull(repository, thread)
  })

  app.get(`${path}/:number/files`, async (request, reply) => {
    const { pull } = pullOf(api, request)
    return page(api, request, reply, pull.files).map((file) => shapes.file(file))
  })

  app.get(`${path}/:number/commits`, async (request, reply) => {
    const { repository, pull } = pullOf(api, request)
    const commits = pull.commits.flatMap((sha) => repository.commits.get(sha) ?? [])
    return page(api, request, reply, commits).map((commit) => shapes.commit(repository, commit))
  })

  app.get(`${path}/:number/reviews`, async (request, reply) => {
    const { repository, thread, pull } = pullOf(api, request)
    return page(api, request, reply, pull.reviews).map((review) => shapes.review(repository, thread, review))
  })

  app.post(`${path}/:number/reviews`, async (request) => {
    const { repository, thread, pull } = pullOf(api, request)
    const caller = callerOf(api, request)
    const { event, body, commit_id: commitId } = bodyOf(request, 'PullRequestReview', reviewInput)
    if ((event === 'APPROVE' || event === 'REQUEST_CHANGES') && caller.login === thread.author.login)
      throw invalid('PullRequestReview', 'event', 'custom', 'Can not review your own pull request')
    const needsWords = event === 'REQUEST_CHANGES' || event === 'COMMENT'
    const review: Review = {
      id: state.id(),
      author: caller,
      association: associationOf(repository, caller),
      body: needsWords || body ? checkedText('PullRequestReview', 'body', body) : '',
      state: event ? reviewStates[event] : 'PENDING',
      commitId: commitId ?? pull.head.sha,
      submittedAt: nowOf(api),
    }
    pull.reviews.push(review)
    thread.updatedAt = review.submittedAt
    const shape = shapes.review(repository, thread, review)
    if (event) {
      const told = { ...shape, state: review.state.toLowerCase() }
      const pull_request = shapes.pull(repository, thread)
      echo.emit('pull_request_review', { action: 'submitted', review: told, pull_request }, repository, caller)
    }
    return shape
  })
}

function pullOf(api: Api, request: FastifyRequest): { repository: Repository; thread: Thread; pull: Pull } {
  const { repository, thread } = threadOf(api, request)
  if (!thread.pull) throw notFound()
  return { repository, thread, pull: thread.pull }
}
