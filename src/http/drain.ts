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
  const underWay = new Map<ServerResponse, Promise<void>>()
  const endless = new Set<ServerResponse>()
  app.addHook('onRequest', async (request, { raw }) => {
    const closed = new Promise<void>((resolve) => raw.once('close', resolve))
    if (request.routeOptions.config.endless) {
      endless.add(raw)
      raw.once('close', () => endless.delete(raw))
    } else {
      underWay.set(raw, closed)
      raw.once('close', () => underWay.delete(raw))
    }
  })
  app.addHook('preClose', async () => {
    for (const raw of endless) raw.end()
    if (underWay.size === 0) return
    const patience = new AbortController()
    const patienceOver = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      patience.signal.addEventListener('abort', () => clearTimeout(timer))
    })
    await Promise.race([Promise.all(underWay.values()), patienceOver])
    patience.abort()
  })
}
