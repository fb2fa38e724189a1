import type { AddressInfo } from 'node:net'
import { fastify, type FastifyInstance } from 'fastify'
import { expect, it } from 'vitest'
import { drainOnClose } from './drain.ts'

interface Slow {
  readonly app: FastifyInstance
  readonly url: string
  /** a request has arrived */
  readonly arrived: Promise<void>
  /** lets the answer out */
  readonly answer: () => void
}

async function serving(patienceMs: number): Promise<Slow> {
  const app = fastify({ forceCloseConnections: true })
  drainOnClose(app, patienceMs)
  const arrived = Promise.withResolvers<void>()
  const stored = Promise.withResolvers<void>()
  app.post('/webhooks/github', async () => {
    arrived.resolve()
    await stored.promise
    return { accepted: true }
  })
  app.get('/stream', { config: { endless: true } }, (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write(': here\n\n')
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return { app, url: `http://127.0.0.1:${port}`, arrived: arrived.promise, answer: stored.resolve }
}

it('gives a delivery that is being stored its answer before it closes', async () => {
  const { app, url, arrived, answer } = await serving(10_000)
  const delivery = fetch(`${url}/webhooks/github`, { method: 'POST' })
  await arrived
  const closing = app.close()
  answer()
  expect((await delivery).status).toBe(200)
  await closing
})

it('does not wait for ever for an answer that never comes', async () => {
  const { app, url, arrived } = await serving(50)
  const delivery = fetch(`${url}/webhooks/github`, { method: 'POST' }).catch(() => 'cut off')
  await arrived
  await app.close()
  expect(await delivery).toBe('cut off')
})

it('ends a live stream at once', async () => {
  const { app, url } = await serving(60_000)
  const stream = await fetch(`${url}/stream`)
  const began = performance.now()
  await app.close()
  expect(performance.now() - began).toBeLessThan(5_000)
  expect(await stream.text()).toBe(': here\n\n')
})
