import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Cache } from '../cache/cache.ts'
import { sha256 } from '../kernel/ids.ts'

const cookie = 'guild_session'
const sessionMs = 12 * 3_600_000

/**
 * Browser sessions, on whatever process of the guild a request arrives: the cookie holds a random id, the cache its hash and the id of the
 * key. A session ends after 12 hours, when its key is revoked, or when the cache is flushed; while the cache cannot be reached nobody
 * is signed in (closed: a retryable error, and bearer keys go on working). SameSite=Strict and HttpOnly; writes need an Origin of our
 * own, so another site can do nothing.
 */
export class Sessions {
  readonly #cache: Pick<Cache, 'get' | 'set'>
  constructor(cache: Pick<Cache, 'get' | 'set'>) {
    this.#cache = cache
  }

  async start(reply: FastifyReply, keyId: string): Promise<void> {
    const id = randomBytes(32).toString('base64url')
    await this.#cache.set(nameOf(id), keyId, { ttlMs: sessionMs })
    void reply.header('set-cookie', `${cookie}=${id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${sessionMs / 1_000}`)
  }

  /** The key that the request's cookie stands for; null without a valid session, or for a write from elsewhere. */
  async keyId(request: FastifyRequest): Promise<string | null> {
    const id = new RegExp(`(?:^|;\\s*)${cookie}=([\\w-]{20,100})`).exec(request.headers.cookie ?? '')?.[1]
    if (!id || !sameOrigin(request)) return null
    return this.#cache.get(nameOf(id))
  }
}

/** Whoever reads the cache cannot sign in with what stands there. */
function nameOf(id: string): string {
  return `session:http:${sha256(id)}`
}

function sameOrigin({ method, headers }: FastifyRequest): boolean {
  if (method === 'GET' || method === 'HEAD') return true
  return headers.origin !== undefined && URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host
}
