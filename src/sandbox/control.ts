import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type Api, bodyOf, param, repositoryOf, threadOf } from './api.ts'
import { type Faults, faultSchema } from './faults.ts'
import { overviewPage, pageHeaders, threadPage } from './pages.ts'
import type { Received } from './received.ts'
import { plant, seedSchema } from './seed.ts'
import { seedFromWebhook } from './seed-from-webhook.ts'

const webhookInput = z.strictObject({ url: z.url(), secret: z.string().min(1) }).nullable()

export interface Control {
  readonly faults: Faults
  readonly received: Received
}

/** What GitHub has not: failures on demand, seeds, and a look at what arrived. Needs no token; the sandbox is on loopback only. */
export function controlRoutes(app: FastifyInstance, api: Api, { faults, received }: Control): void {
  const { state, echo, clock } = api
  const deliveries = () => state.repositories().flatMap((one) => echo.deliveries(one.fullName))

  app.get('/', async (_request, reply) => reply.redirect('/_sandbox'))
  app.get('/_sandbox', async (request, reply) => {
    const sent = deliveries().toSorted((a, b) => b.id - a.id)
    if (request.headers.accept?.includes('text/html'))
      return reply.headers(pageHeaders).send(overviewPage(state, received.list(), sent))
    return {
      repositories: state.repositories().map((repository) => ({
        full_name: repository.fullName,
        issues: [...repository.threads.values()].filter((thread) => !thread.pull).length,
        pulls: [...repository.threads.values()].filter((thread) => thread.pull).length,
        check_runs: repository.checkRuns.length,
      })),
      writes: received.count,
      webhooks: { sent: sent.length, failed: sent.filter((one) => one.status !== 'OK').length },
      faults: faults.list(),
    }
  })
  app.get('/_sandbox/received', async () => received.list())
  app.get('/_sandbox/faults', async () => faults.list())
  app.post('/_sandbox/faults', async (request, reply) => {
    faults.add(bodyOf(request, 'Fault', faultSchema))
    return reply.code(201).send(faults.list())
  })
  app.delete('/_sandbox/faults', async (_request, reply) => {
    faults.clear()
    return reply.code(204).send()
  })
  app.post('/_sandbox/seed', async (request, reply) => {
    plant(state, bodyOf(request, 'Seed', seedSchema), clock)
    return reply.code(201).send({})
  })
  app.post('/_sandbox/seed-from-webhook', async (request, reply) => {
    seedFromWebhook(state, request.body, clock)
    return reply.code(201).send({})
  })
  app.put('/_sandbox/webhook', async (request) => {
    echo.pointTo(bodyOf(request, 'Webhook', webhookInput))
    return { url: echo.address?.url ?? null }
  })

  // Where html_url leads: a page to look at.
  for (const kind of ['pull', 'issues']) {
    app.get(`/:owner/:repo/${kind}/:number`, async (request, reply) => {
      const { repository, thread } = threadOf(api, request)
      return reply.headers(pageHeaders).send(threadPage(repository, thread))
    })
  }
  app.get('/:owner/:repo', async (request, reply) => {
    repositoryOf(api, request)
    return reply.redirect(`/_sandbox#${encodeURIComponent(param(request, 'repo'))}`)
  })
}
