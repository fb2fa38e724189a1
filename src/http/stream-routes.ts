import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { reasonOf } from '../kernel/errors.ts'
import type { DecisionStream, StreamItem } from './stream.ts'

const heartbeatMsDefault = 15_000
/** A reader slower than this is cut off; it comes back with Last-Event-ID and misses nothing. */
const bufferedBytesMax = 1024 * 1024

/**
 * `GET /api/v1/stream`: server-sent events, one per decision. `Last-Event-ID` (or `?after=`) resumes.
 * @param allowed asked again with every heartbeat: a revoked key or an ended session ends its streams
 */
export function streamRoutes(
  stream: Pick<DecisionStream, 'listen' | 'since'>,
  allowed: (request: FastifyRequest) => Promise<void>,
  heartbeatMs = heartbeatMsDefault,
): FastifyPluginAsync {
  return async (app) => {
    app.get(
      '/stream',
      { config: { role: 'viewer', endless: true }, schema: { hide: true } },
      async (request, reply) => {
        reply.hijack()
        const { raw } = reply
        raw.writeHead(200, {
          'content-type': 'text/event-stream',
          'cache-control': 'no-store',
          'x-accel-buffering': 'no',
        })
        const send = (items: readonly StreamItem[]) => {
          if (raw.writableLength > bufferedBytesMax) raw.destroy()
          else for (const item of items) write(`id: ${item.id}\nevent: decision\ndata: ${JSON.stringify(item)}\n\n`)
        }
        // A write after the end is an error that nobody waits for: it would end the process.
        const write = (text: string) => !raw.writableEnded && !raw.destroyed && raw.write(text)
        write(': guild\n\n')
        const stop = await stream.listen(send).catch((error: unknown) => {
          // The head is out, so this can only be told by ending: the reader comes back.
          request.log.warn({ reason: reasonOf(error) }, 'live stream could not begin')
          raw.destroy()
        })
        if (!stop) return
        // It left during the wait: nobody would stop listening for it.
        if (raw.closed) return stop()
        const beat = () =>
          allowed(request).then(
            () => write(': still here\n\n'),
            // Also when the store cannot be asked: the reader comes back.
            () => raw.destroy(),
          )
        const heartbeat = setInterval(() => void beat(), heartbeatMs)
        raw.once('close', () => {
          clearInterval(heartbeat)
          stop()
        })
        const after = Number(request.headers['last-event-id'] ?? (request.query as { after?: string }).after)
        if (Number.isSafeInteger(after) && after > 0) send(await stream.since(after))
      },
    )
  }
}
