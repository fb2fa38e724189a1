import type { FastifyRequest } from 'fastify'
import { GuildError } from '../kernel/errors.ts'
import { type Caller, type Keys, requireRole, type Role } from './auth.ts'
import type { Sessions } from './session.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** the least role that may call this route; a route of `/api` without one is refused */
    role?: Role
  }
  interface FastifyRequest {
    caller?: Caller
  }
}

/** The caller that the guard of `/api` has found. */
export function callerOf(request: FastifyRequest): Caller {
  if (!request.caller) throw new GuildError('GUILD_UNAUTHENTICATED')
  return request.caller
}

/** Authenticates by bearer key, else by a browser's session, and checks the route's role; a route without one is for admins (fail closed). */
export async function guard(request: FastifyRequest, keys: Keys, sessions: Sessions): Promise<void> {
  const bearer = /^Bearer (\S{1,200})$/.exec(request.headers.authorization ?? '')?.[1]
  const keyId = bearer ? null : await sessions.keyId(request)
  const caller = keyId ? await keys.caller(keyId) : await keys.authenticate(bearer)
  request.caller = caller
  requireRole(caller, request.routeOptions.config.role ?? 'admin')
}
