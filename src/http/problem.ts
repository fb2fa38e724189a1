import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { GuildError, reasonOf } from '../kernel/errors.ts'

export interface Problem {
  readonly error: { readonly code: string; readonly message: string; readonly fix: string }
}

/** Every error leaves as `{error: {code, message, fix}}`; what we did not foresee is logged whole and shown as GUILD_INTERNAL. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toGuildError(error)
  if (known.code === 'GUILD_INTERNAL') request.log.error({ err: error }, 'request failed')
  if (known.retryAfterMs !== undefined) void reply.header('retry-after', Math.ceil(known.retryAfterMs / 1_000))
  if (known.code === 'GUILD_UNAUTHENTICATED') void reply.header('www-authenticate', 'Bearer')
  return reply.code(known.status).send(problem(known))
}

export function problem(error: GuildError): Problem {
  return { error: { code: error.code, message: error.message, fix: error.fix } }
}

function toGuildError(error: unknown): GuildError {
  if (error instanceof GuildError) return error
  const { statusCode, validation } = (error ?? {}) as Partial<FastifyError>
  if (validation || (statusCode !== undefined && statusCode >= 400 && statusCode < 500)) {
    return new GuildError(statusCode === 413 ? 'GUILD_BODY_TOO_LARGE' : 'GUILD_REQUEST_INVALID', {
      why: reasonOf(error),
      bytesMax: '1 MB',
    })
  }
  // The text of an unforeseen error may hold anything: it goes to the log, not to the caller.
  return new GuildError('GUILD_INTERNAL', { why: 'see the log' }, { cause: error })
}
