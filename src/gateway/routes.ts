import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import { BodyReader } from './body-reader.ts'
import { type Answer, errorAnswer, receive, type ReceiveDeps } from './receive.ts'
import type { ConnectorConfig, Headers, Source } from './source.ts'

/** Which connectors exist. Supplied by composition from settings and the serving Codex. */
export interface Connectors {
  /** @param connector undefined: the source's default one. @returns null when there is none of that name for that source */
  resolve(source: string, connector: string | undefined): ConnectorConfig | null
}

export interface GatewayDeps extends ReceiveDeps {
  readonly sources: readonly Source[]
  readonly connectors: Connectors
  /** GitHub waits 10 s for an answer, so a slower upload has no one waiting. Default 10 000. */
  readonly readTimeoutMs?: number
  /** bodies being read at the same time, in bytes; beyond it 503. Default 128 MiB. */
  readonly inFlightBytesMax?: number
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

  function addressee(request: FastifyRequest): { source: Source; connector: ConnectorConfig } {
    const params = request.params as Params // the shape of the route's own path
    const source = sources.get(params.source)
    const connector = source && deps.connectors.resolve(source.name, params.connector)
    if (source && connector) return { source, connector }
    const asked = [params.source, params.connector].filter(Boolean).join('/').slice(0, 100)
    throw new GuildError('GUILD_SOURCE_UNKNOWN', { source: asked, known: [...sources.keys()].join(', ') })
  }

  return async (app: FastifyInstance) => {
    // Signatures cover the raw bytes, so no parser may look at them first, whatever the content type says.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', async (request: FastifyRequest, stream: FastifyRequest['raw']) =>
      reader.read(stream, addressee(request).source.bodyBytesMax),
    )
    app.addHook('onRequest', async (request) => {
      addressee(request)
    })
    app.setErrorHandler(async (error, _request, reply) => {
      if (!isGuildError(error)) deps.log.warn({ reason: reasonOf(error) }, 'webhook request refused')
      return send(reply, errorAnswer(asGuildError(error)))
    })
    const handle = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const { source, connector } = addressee(request)
      const body = request.body instanceof Uint8Array ? request.body : new Uint8Array()
      return send(reply, await receive({ source, connector, headers: headersOf(request), body }, deps))
    }
    // Answers to machines: none of the headers that tell a browser what a page may do.
    const options = { helmet: false } as const
    app.post('/webhooks/:source', options, handle)
    app.post('/webhooks/:source/:connector', options, handle)
  }
}

function send(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  return reply.code(status).headers(headers).send(body)
}

/** Only set-cookie arrives as a list; it is no header of a webhook. */
function headersOf(request: FastifyRequest): Headers {
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  )
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
