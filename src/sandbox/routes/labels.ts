import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type Api, ApiError, bodyOf, callerOf, nowOf, page, param, threadOf } from '../api.ts'
import type { Repository, Thread } from '../github-state.ts'
import { emitThread } from './threads.ts'

const input = z.union([
  z.object({ labels: z.array(z.string().min(1).max(50)).min(1).max(100) }),
  z
    .array(z.string().min(1).max(50))
    .min(1)
    .transform((labels) => ({ labels })),
])

/** https://docs.github.com/en/rest/issues/labels */
export function labelRoutes(app: FastifyInstance, api: Api): void {
  const { shapes } = api
  const path = '/repos/:owner/:repo/issues/:number/labels'
  const all = (repository: Repository, thread: Thread): readonly object[] =>
    thread.labels.map((name) => shapes.label(repository, name))
  const has = (thread: Thread, name: string): boolean =>
    thread.labels.some((label) => label.toLowerCase() === name.toLowerCase())

  app.get(path, async (request, reply) => {
    const { repository, thread } = threadOf(api, request)
    return page(api, request, reply, all(repository, thread))
  })

  app.post(path, async (request) => {
    const { repository, thread } = threadOf(api, request)
    const caller = callerOf(api, request)
    for (const name of bodyOf(request, 'Label', input).labels) {
      if (has(thread, name)) continue
      thread.labels.push(name)
      thread.updatedAt = nowOf(api)
      emitThread(api, repository, thread, caller, { action: 'labeled', label: shapes.label(repository, name) })
    }
    return all(repository, thread)
  })

  app.delete(`${path}/:name`, async (request) => {
    const { repository, thread } = threadOf(api, request)
    const caller = callerOf(api, request)
    const name = param(request, 'name')
    if (!has(thread, name)) throw new ApiError(404, 'Label does not exist')
    thread.labels = thread.labels.filter((label) => label.toLowerCase() !== name.toLowerCase())
    thread.updatedAt = nowOf(api)
    emitThread(api, repository, thread, caller, { action: 'unlabeled', label: shapes.label(repository, name) })
    return all(repository, thread)
  })
}
