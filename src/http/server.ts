import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import { fastify, LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { jsonSchemaTransform, validatorCompiler } from 'fastify-type-provider-zod'
import { GuildError } from '../kernel/errors.ts'
import { type Api, apiRoutes } from './api.ts'
import { guard } from './guard.ts'
import type { Keys } from './auth.ts'
import { drainOnClose } from './drain.ts'
import type { Metrics } from './metrics.ts'
import { pageRoutes } from './pages.ts'
import { sendProblem } from './problem.ts'
import type { Sessions } from './session.ts'
import type { StatusDeps } from './status.ts'
import { streamRoutes } from './stream-routes.ts'
import type { DecisionStream } from './stream.ts'

export interface HttpDeps {
  readonly api: Api
  readonly keys: Keys
  readonly sessions: Sessions
  readonly status: StatusDeps
  readonly stream: DecisionStream
  readonly metrics: Metrics
  /** null: this process has not the gateway role */
  readonly gateway: FastifyPluginAsync | null
  /** Only `/healthz`, `/readyz` and `/metrics`: a worker has no door that people or senders could come in by. */
  readonly probesOnly?: boolean
  /** Why this process may not take traffic yet; empty: it may. */
  readonly unready: () => Promise<readonly string[]>
  readonly version: string
  readonly log: FastifyBaseLogger
}

const apiBodyBytesMax = 1024 * 1024
/** longer than a delivery may take (2 s), shorter than the patience of a process manager */
const drainMs = 5_000

/** Gateway, API, live stream, health and pages in one server that does not listen yet. */
export async function openHttp(deps: HttpDeps): Promise<FastifyInstance> {
  const app = httpServer(deps.log)
  app.setValidatorCompiler(validatorCompiler)
  // The schemas of answers are documentation, held true by a test; checking each answer again would cost every request.
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  app.setErrorHandler(sendProblem)
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      new GuildError('GUILD_NOT_FOUND', { what: 'route', id: `${request.method} ${request.url.split('?')[0]}` }),
      request,
      reply,
    ),
  )
  await app.register(swagger, { openapi: openapiHead(deps.version), transform: jsonSchemaTransform })
  // Before helmet: answers to machines need none of the headers that tell a browser what a page may do, nor the hooks that set them.
  if (deps.gateway && !deps.probesOnly) await app.register(deps.gateway)
  await app.register(helmet, {
    contentSecurityPolicy: { directives: { 'script-src': ["'self'"], 'upgrade-insecure-requests': null } },
  })
  await app.register(healthRoutes(deps))
  if (!deps.probesOnly) await openDoors(app, deps)
  await app.ready()
  return app
}

/** The server that all routes stand on, and what each of their requests passes. */
export function httpServer(log: FastifyBaseLogger): FastifyInstance {
  const app = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    // A request has no id, so a logger of its own would say nothing more.
    childLoggerFactory: (logger) => logger,
    bodyLimit: apiBodyBytesMax,
    requestTimeout: 30_000,
    forceCloseConnections: true,
    genReqId: () => '',
  })
  drainOnClose(app, drainMs)
  return app
}

/** API, live stream and pages. */
async function openDoors(app: FastifyInstance, deps: HttpDeps): Promise<void> {
  await app.register(
    async (api) => {
      api.addHook('onRequest', (request) => guard(request, deps.keys, deps.sessions))
      await api.register(apiRoutes(deps))
      await api.register(streamRoutes(deps.stream, (request) => guard(request, deps.keys, deps.sessions)))
    },
    { prefix: '/api/v1' },
  )
  await app.register(pageRoutes(deps))
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
}

function healthRoutes({ unready, metrics, keys, sessions }: HttpDeps): FastifyPluginAsync {
  return async (app) => {
    app.get('/healthz', { schema: { hide: true } }, () => ({ ok: true, pid: process.pid }))
    app.get('/readyz', { schema: { hide: true } }, async (_request, reply) => {
      const reasons = await unready()
      return reply.code(reasons.length === 0 ? 200 : 503).send({ ready: reasons.length === 0, reasons })
    })
    app.get('/metrics', { schema: { hide: true }, config: { role: 'viewer' } }, async (request, reply) => {
      await guard(request, keys, sessions)
      return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics())
    })
  }
}

export function openapiHead(version: string) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Foundry',
      version,
      description: 'Errors are `{error: {code, message, fix}}`; docs/errors.md lists the codes.',
    },
    components: { securitySchemes: { key: { type: 'http' as const, scheme: 'bearer' } } },
    security: [{ key: [] }],
  }
}
