import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Api, ApiError, callerOf, notFound } from './api.ts'
import { faultAnswer, type Faults } from './faults.ts'
import type { RateLimit } from './rate-limit.ts'
import type { Received } from './received.ts'

export interface GuardDeps {
  readonly api: Api
  readonly faults: Faults
  readonly received: Received
  readonly rate: RateLimit
  readonly stopped: AbortSignal
}

const loopback = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/

type Armed = ReturnType<Faults['take']>

/** What surrounds every call: token, rate limit, failures on demand, GitHub's headers and errors, the record of writes. */
export function guard(app: FastifyInstance, deps: GuardDeps): void {
  const { api, rate } = deps
  const struck = new WeakMap<FastifyRequest, Armed>()

  app.addHook('onRequest', async (request) => {
    // A web page may point a name of its own at 127.0.0.1: our browser would then send its calls here, past every other rule.
    if (!loopback.test(request.headers.host ?? ''))
      throw new ApiError(403, 'The sandbox answers to loopback names only.')
  })
  app.addHook('onRequest', async (request, reply) => {
    if (!isApi(request)) return
    const caller = callerOf(api, request)
    if (!rate.take(caller.login, reply)) throw new ApiError(403, `API rate limit exceeded for user ID ${caller.id}.`)
  })
  app.addHook('preHandler', async (request, reply) => {
    if (!isApi(request)) return
    const fault = deps.faults.take(request.method, pathOf(request))
    struck.set(request, fault)
    if (fault) await strikeBefore(fault, request, reply, deps)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    if (!isApi(request)) return payload
    const fault = struck.get(request) ?? null
    record(request, reply.statusCode, fault, deps)
    return fault?.kind.endsWith('-after-write')
      ? strikeAfter(fault, request, reply, deps)
      : withEtag(request, reply, payload, () => rate.giveBack(reply))
  })
  app.setErrorHandler(async (error, _request, reply) => {
    const status = error instanceof ApiError ? error.status : statusOf(error)
    const message = error instanceof Error ? error.message : 'Server Error'
    const errors = error instanceof ApiError && error.errors.length > 0 ? { errors: error.errors } : {}
    const documentation_url = 'https://docs.github.com/rest'
    return reply.code(status).send({ message, ...errors, documentation_url, status: String(status) })
  })
  app.setNotFoundHandler(async () => {
    throw notFound()
  })
}

/** Instead of the call: nothing of it is done. */
async function strikeBefore(
  fault: NonNullable<Armed>,
  request: FastifyRequest,
  reply: FastifyReply,
  deps: GuardDeps,
): Promise<void> {
  if (fault.kind === 'slow') return deps.api.clock.sleep(fault.delayMs, deps.stopped)
  if (fault.kind === 'hang' || fault.kind === 'reset') {
    record(request, 0, fault, deps)
    reply.hijack()
    if (fault.kind === 'reset') request.raw.socket.destroy()
    return
  }
  if (fault.kind.endsWith('-after-write')) return
  const answer = faultAnswer(fault)
  if (answer) await reply.code(answer.status).headers(answer.headers).send({ message: answer.message })
}

/** Instead of the answer: the call has done its work. */
async function strikeAfter(
  fault: NonNullable<Armed>,
  request: FastifyRequest,
  reply: FastifyReply,
  { stopped }: GuardDeps,
): Promise<unknown> {
  const answer = faultAnswer(fault)
  if (answer) {
    void reply.code(answer.status).headers(answer.headers)
    return JSON.stringify({ message: answer.message })
  }
  if (fault.kind === 'hang-after-write') await gone(request, stopped)
  request.raw.socket.destroy()
  return null
}

/** Resolves when the client gives up or the sandbox stops. */
function gone(request: FastifyRequest, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    stopped.addEventListener('abort', () => resolve(), { once: true })
    request.raw.socket.once('close', () => resolve())
  })
}

function record(request: FastifyRequest, status: number, fault: Armed, { api, received }: GuardDeps): void {
  if (request.method === 'GET' || request.method === 'HEAD') return
  const token = /^\S+\s+(\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
  received.add({
    at: api.clock.now().toISOString(),
    method: request.method,
    path: pathOf(request),
    login: api.state.whoIs(token)?.login ?? null,
    body: request.body ?? null,
    status: fault?.kind === 'reset-after-write' || fault?.kind === 'hang-after-write' ? 0 : status,
    fault: fault?.kind ?? null,
  })
}

/** Everything but the control panel and the pages to look at wants a token. */
function isApi(request: FastifyRequest): boolean {
  return /^\/(repos|user|meta)(\/|\?|$)/.test(request.url)
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? request.url
}

/** A 304 does not count against the rate limit. */
function withEtag(request: FastifyRequest, reply: FastifyReply, payload: unknown, unchanged: () => void): unknown {
  if (request.method !== 'GET' || reply.statusCode !== 200 || typeof payload !== 'string') return payload
  const etag = `W/"${createHash('sha256').update(payload).digest('hex')}"`
  void reply.header('etag', etag)
  if (request.headers['if-none-match'] !== etag) return payload
  unchanged()
  void reply.code(304)
  return ''
}

function statusOf(error: unknown): number {
  return typeof error === 'object' && error !== null && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : 500
}
