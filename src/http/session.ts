import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { sha256 } from '../kernel/ids.ts'

const cookie = 'guild_session'
const sessionMs = 12 * 3_600_000
const sessionsMax = 100

/**
 * Browser sessions: the cookie holds a random id, this process its hash and the key's id. A session ends with the process, after 12
 * hours, or when its key is revoked. SameSite=Strict and HttpOnly; writes need an Origin of our own, so another site can do nothing.
 */
export class Sessions {
  readonly #open = new Map<string, { readonly keyId: string; readonly until: number }>()

  start(reply: FastifyReply, keyId: string, now: number): void {
    for (const [hash, session] of this.#open)
      if (session.until < now || this.#open.size >= sessionsMax) this.#open.delete(hash)
    const id = randomBytes(32).toString('base64url')
    this.#open.set(sha256(id), { keyId, until: now + sessionMs })
    void reply.header('set-cookie', `${cookie}=${id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${sessionMs / 1_000}`)
  }

  /** The key that the request's cookie stands for; undefined without a valid session, or for a write from elsewhere. */
  keyId(request: FastifyRequest, now: number): string | undefined {
    const id = new RegExp(`(?:^|;\\s*)${cookie}=([\\w-]{20,100})`).exec(request.headers.cookie ?? '')?.[1]
    if (!id || !sameOrigin(request)) return undefined
    const session = this.#open.get(sha256(id))
    return session && session.until > now ? session.keyId : undefined
  }
}

function sameOrigin({ method, headers }: FastifyRequest): boolean {
  if (method === 'GET' || method === 'HEAD') return true
  return headers.origin !== undefined && URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host
}
