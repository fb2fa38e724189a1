import type { FastifyInstance } from 'fastify'
import { type Api, notFound, page, param, query, repositoryOf } from '../api.ts'
import { type HookDelivery, hookId } from '../echo.ts'

/** The deliveries of the one webhook, and their redelivery. https://docs.github.com/en/rest/repos/webhooks */
export function hookRoutes(app: FastifyInstance, api: Api): void {
  const { echo } = api
  const hook = '/repos/:owner/:repo/hooks/:hook'
  const deliveriesOf = (fullName: string, id: string): readonly HookDelivery[] => {
    if (Number(id) !== hookId) throw notFound()
    return echo.deliveries(fullName)
  }

  app.get('/repos/:owner/:repo/hooks', async (request) => {
    repositoryOf(api, request)
    if (!echo.address) return []
    const config = { url: echo.address.url, content_type: 'json', insecure_ssl: '0', secret: '********' }
    return [{ id: hookId, type: 'Repository', name: 'web', active: true, events: ['*'], config }]
  })

  app.get(`${hook}/deliveries`, async (request, reply) => {
    const all = deliveriesOf(repositoryOf(api, request).fullName, param(request, 'hook'))
    const { status } = query(request)
    const wanted = all.filter((one) => !status || (status === 'success') === (one.status === 'OK'))
    return page(api, request, reply, wanted).map(summary)
  })

  app.get(`${hook}/deliveries/:id`, async (request) => {
    const all = deliveriesOf(repositoryOf(api, request).fullName, param(request, 'hook'))
    const found = all.find((one) => one.id === Number(param(request, 'id')))
    if (!found) throw notFound()
    return { ...summary(found), url: found.url, request: { headers: {}, payload: found.payload } }
  })

  app.post(`${hook}/deliveries/:id/attempts`, async (request, reply) => {
    const all = deliveriesOf(repositoryOf(api, request).fullName, param(request, 'hook'))
    const found = all.find((one) => one.id === Number(param(request, 'id')))
    if (!found || !echo.redeliver(found.id)) throw notFound()
    return reply.code(202).send({})
  })
}

function summary(delivery: HookDelivery): object {
  return {
    id: delivery.id,
    guid: delivery.guid,
    delivered_at: delivery.deliveredAt,
    redelivery: delivery.redelivery,
    duration: delivery.durationMs / 1_000,
    status: delivery.status,
    status_code: delivery.statusCode,
    event: delivery.event,
    action: delivery.action,
    installation_id: null,
    repository_id: null,
  }
}
