import type { FastifyPluginAsync } from 'fastify'
import type { DecisionStream, StreamItem } from './stream.ts'

const heartbeatMs = 15_000
/** A reader slower than this is cut off; it comes back with Last-Event-ID and misses nothing. */
const bufferedBytesMax = 1024 * 1024

/** `GET /api/v1/stream`: server-sent events, one per decision. `Last-Event-ID` (or `?after=`) resumes. */
export function streamRoutes(stream: DecisionStream): FastifyPluginAsync {
  return async (app) => {
    app.get('/stream', { config: { role: 'viewer' }, schema: { hide: true } }, async (request, reply) => {
      reply.hijack()
      const { raw } = reply
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      const send = (items: readonly StreamItem[]) => {
        if (raw.writableLength > bufferedBytesMax) raw.destroy()
        else for (const item of items) raw.write(`id: ${item.id}\nevent: decision\ndata: ${JSON.stringify(item)}\n\n`)
      }
      raw.write(': guild\n\n')
      const stop = await stream.listen(send)
      const heartbeat = setInterval(() => raw.write(': still here\n\n'), heartbeatMs)
      raw.once('close', () => {
        clearInterval(heartbeat)
        stop()
      })
      const after = Number(request.headers['last-event-id'] ?? (request.query as { after?: string }).after)
      if (Number.isSafeInteger(after) && after > 0) send(await stream.since(after))
    })
  }
}
