import type { FastifyInstance } from 'fastify'
import type { ServerResponse } from 'node:http'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** an answer that ends only with its connection */
    readonly endless?: boolean
  }
}

/**
 * At `close`: new requests get 503, those under way get their answer (`ms` at most), endless ones are ended. Without it a delivery that
 * is being stored loses its connection, and most senders do not send again.
 */
export function drainOnClose(app: FastifyInstance, ms: number): void {
  const underWay = new Set<ServerResponse>()
  const endless = new Set<ServerResponse>()
  app.addHook('onRequest', (request, { raw }, done) => {
    const open = request.routeOptions.config.endless ? endless : underWay
    open.add(raw)
    raw.once('close', () => open.delete(raw))
    done()
  })
  app.addHook('preClose', async () => {
    for (const raw of endless) raw.end()
    if (underWay.size === 0) return
    const answered = [...underWay].map((raw) => new Promise<void>((resolve) => raw.once('close', resolve)))
    const patience = new AbortController()
    const patienceOver = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      patience.signal.addEventListener('abort', () => clearTimeout(timer))
    })
    await Promise.race([Promise.all(answered), patienceOver])
    patience.abort()
  })
}
