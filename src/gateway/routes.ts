import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import { BodyReader, type OnBody } from './body-reader.ts'
import { Deadlines } from './deadlines.ts'
import { type Answer, deadlineMsDefault, errorAnswer, receive, type ReceiveDeps } from './receive.ts'
import type { ConnectorConfig, Headers, Source } from './source.ts'

/** Which connectors exist. Supplied by composition from settings and the serving Codex. */
export interface Connectors {
  /** @param connector undefined: the source's default one. @returns null when there is none of that name for that source */
  resolve(source: string, connector: string | undefined): ConnectorConfig | null
}

export interface GatewayDeps extends Omit<ReceiveDeps, 'deadlines'> {
  readonly sources: readonly Source[]
  readonly connectors: Connectors
  /** GitHub waits 10 s for an answer, so a slower upload has no one waiting. Default 10 000. */
  readonly readTimeoutMs?: number
  /** bodies being read at the same time, in bytes; beyond it 503. Default 128 MiB. */
  readonly inFlightBytesMax?: number
  /** Slack gives up after 3 s: answer before, or say 503. Default 2 000. */
  readonly deadlineMs?: number
}

interface Addressee {
  readonly source: Source
  readonly connector: ConnectorConfig
}

declare module 'fastify' {
  interface FastifyRequest {
    /** whom a delivery is for; null: the request is none */
    addressee: Addressee | null
  }
}

interface Params {
  readonly source: string
  readonly connector?: string
}

/** `POST /webhooks/{source}` and `/webhooks/{source}/{connector}`, with a raw-body parser of its own. */
export function gatewayRoutes(deps: GatewayDeps): FastifyPluginAsync {
  const sources = new Map(deps.sources.map((source) => [source.name, source]))
  const reader = new BodyReader({
    readTimeoutMs: deps.readTimeoutMs ?? 10_000,
    inFlightBytesMax: deps.inFlightBytesMax ?? 128 * 1024 * 1024,
  })

  const receiving: ReceiveDeps = { ...deps, deadlines: new Deadlines(deps.deadlineMs ?? deadlineMsDefault) }

  function addresseeOf(request: FastifyRequest): Addressee {
    const params = request.params as Params // the shape of the route's own path
    const source = sources.get(params.source)
    const connector = source && deps.connectors.resolve(source.name, params.connector)
    if (source && connector) return { source, connector }
    const asked = [params.source, params.connector].filter(Boolean).join('/').slice(0, 100)
    throw new GuildError('GUILD_SOURCE_UNKNOWN', { source: asked, known: [...sources.keys()].join(', ') })
  }

  return async (app: FastifyInstance) => {
    app.decorateRequest('addressee', null)
    // Before a byte of the body is read: what is for nobody is not worth one.
    app.addHook('onRequest', (request, _reply, done) => {
      request.addressee = addresseeOf(request)
      done()
    })
    // Signatures cover the raw bytes, so no parser may look at them first, whatever the content type says.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (request: FastifyRequest, stream: FastifyRequest['raw'], done: OnBody) =>
      reader.read(stream, (request.addressee ?? addresseeOf(request)).source.bodyBytesMax, done),
    )
    app.setErrorHandler(async (error, _request, reply) => {
      if (!isGuildError(error)) deps.log.warn({ reason: reasonOf(error) }, 'webhook request refused')
      return send(reply, errorAnswer(asGuildError(error)))
    })
    const handle = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const { source, connector } = request.addressee ?? addresseeOf(request)
      const body = request.body instanceof Uint8Array ? request.body : new Uint8Array()
      return send(reply, await receive({ source, connector, headers: headersOf(request), body }, receiving))
    }
    app.post('/webhooks/:source', handle)
    app.post('/webhooks/:source/:connector', handle)
  }
}

function send(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  return reply.code(status).headers(headers).send(body)
}

/** Only set-cookie arrives as a list; it is no header of a webhook. */
function headersOf({ headers }: FastifyRequest): Headers {
  const list = headers['set-cookie']
  return (list === undefined ? headers : { ...headers, 'set-cookie': list.join(', ') }) as Headers
}

/** What the server framework refuses by itself (a malformed request) is the sender's mistake; anything else is ours. */
function asGuildError(error: unknown): GuildError {
  if (isGuildError(error)) return error
  const status =
    typeof error === 'object' && error !== null && 'statusCode' in error ? Number(error.statusCode) : Number.NaN
  return status >= 400 && status < 500
    ? new GuildError('GUILD_REQUEST_INVALID', { why: reasonOf(error) }, { cause: error })
    : new GuildError('GUILD_OVERLOADED', {}, { cause: error })
}
