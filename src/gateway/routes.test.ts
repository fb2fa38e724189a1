import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { acting, sample } from '../../test/github-samples.ts'
import type { BusMessage } from '../bus/bus.ts'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { gatewayRoutes, type GatewayDeps } from './routes.ts'
import type { ConnectorConfig } from './source.ts'
import { github } from './sources/github.ts'

const apps: FastifyInstance[] = []
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()))
})

function connectorNamed(name: string, secret: string): ConnectorConfig {
  return { name, chapter: () => null, secrets: [new Secret(secret)], botLogins: [] }
}

async function gateway(more: Partial<GatewayDeps> = {}): Promise<{ app: FastifyInstance; published: BusMessage[] }> {
  const published: BusMessage[] = []
  const app = fastify({ logger: false })
  apps.push(app)
  const known = new Map([
    ['github', connectorNamed('github', 'k')],
    ['acme', connectorNamed('acme', 'other')],
  ])
  await app.register(
    gatewayRoutes({
      bus: { publish: async (_topic, messages) => void published.push(...messages) },
      clock: systemClock,
      log: silentLog,
      sources: [github],
      connectors: { resolve: (source, connector) => known.get(connector ?? source) ?? null },
      ...more,
    }),
  )
  app.post('/json', async (request) => ({ got: request.body }))
  return { app, published }
}

const raw = JSON.stringify(sample('pull_request', acting('opened')))

function headers(secret = 'k', body: string | Buffer = raw): Record<string, string> {
  return {
    'content-type': 'application/json',
    'x-github-event': 'pull_request',
    'x-github-delivery': 'd-1',
    'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
  }
}

describe('POST /webhooks', () => {
  it('takes a delivery byte for byte', async () => {
    const { app, published } = await gateway()
    const spaced = `  ${raw}\n`
    const response = await app.inject({
      method: 'POST',
      url: '/webhooks/github',
      headers: headers('k', spaced),
      body: spaced,
    })
    expect([response.statusCode, published.length]).toEqual([202, 1])
  })

  it('verifies with the secret of the connector in the path, and no other', async () => {
    const { app, published } = await gateway()
    const send = (url: string, secret: string) =>
      app.inject({ method: 'POST', url, headers: headers(secret), body: raw })
    expect((await send('/webhooks/github/acme', 'other')).statusCode).toBe(202)
    expect((await send('/webhooks/github/acme', 'k')).statusCode).toBe(401)
    expect(published).toMatchObject([{ body: { metadata: { connector: 'acme' } } }])
  })

  it.each(['/webhooks/gitlab', '/webhooks/github/nobody', '/webhooks/__proto__'])('knows no %s', async (url) => {
    const { app } = await gateway()
    const response = await app.inject({ method: 'POST', url, headers: headers(), body: raw })
    expect(response.statusCode).toBe(404)
    expect(response.json()).toEqual({
      error: {
        code: 'GUILD_SOURCE_UNKNOWN',
        message: expect.stringContaining('there is no webhook source'),
        fix: 'Sources: github.',
      },
    })
  })

  it('refuses a body above the limit of its source, declared or not', async () => {
    const { app, published } = await gateway({ sources: [{ ...github, bodyBytesMax: 100 }] })
    const response = await app.inject({ method: 'POST', url: '/webhooks/github', headers: headers(), body: raw })
    expect([response.statusCode, response.json()]).toMatchObject([413, { error: { code: 'GUILD_BODY_TOO_LARGE' } }])
    const address = await app.listen({ port: 0, host: '127.0.0.1' })
    const stream = new Blob([raw]).stream()
    const chunked = await fetch(`${address}/webhooks/github`, {
      method: 'POST',
      headers: headers(),
      body: stream,
      duplex: 'half',
    })
    expect([chunked.status, published]).toEqual([413, []])
  })

  it('answers 503, not 413, when too many bytes are on their way at once', async () => {
    const { app } = await gateway({ inFlightBytesMax: 100 })
    const response = await app.inject({ method: 'POST', url: '/webhooks/github', headers: headers(), body: raw })
    expect([response.statusCode, response.headers['retry-after']]).toEqual([503, '5'])
  })

  it('frees the room of bodies it has read', async () => {
    const { app } = await gateway({ inFlightBytesMax: Buffer.byteLength(raw) + 10 })
    for (let round = 0; round < 3; round += 1) {
      const response = await app.inject({ method: 'POST', url: '/webhooks/github', headers: headers(), body: raw })
      expect(response.statusCode).toBe(202)
    }
  })

  it('does not wait for a sender that stops in the middle', async () => {
    const { app } = await gateway({ readTimeoutMs: 50 })
    const port = Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port)
    const socket = connect(port, '127.0.0.1')
    socket.write(
      'POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
    )
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toContain('400 Bad Request')
    expect(answer.toString()).toContain('GUILD_REQUEST_INVALID')
    socket.destroy()
  })

  it.each([
    ['no content type', undefined],
    ['a text', 'text/plain'],
    ['a form', 'application/x-www-form-urlencoded; charset=utf-8'],
    ['an unknown type', 'application/vnd.github+json'],
  ])('verifies the raw bytes of %s', async (_what, type) => {
    const { app } = await gateway()
    const { 'content-type': _dropped, ...rest } = headers()
    const address = await app.listen({ port: 0, host: '127.0.0.1' })
    const response = await fetch(`${address}/webhooks/github`, {
      method: 'POST',
      headers: { ...rest, ...(type && { 'content-type': type }) },
      body: Buffer.from(raw),
    })
    expect(response.status).toBe(202)
  })

  it('refuses a header that was sent twice', async () => {
    const { app } = await gateway()
    const address = await app.listen({ port: 0, host: '127.0.0.1' })
    const doubled = new Headers(headers())
    doubled.append('x-hub-signature-256', headers()['x-hub-signature-256'] ?? '')
    expect((await fetch(`${address}/webhooks/github`, { method: 'POST', headers: doubled, body: raw })).status).toBe(
      401,
    )
  })

  it('calls an empty body unsigned or unreadable, like any other', async () => {
    const { app } = await gateway()
    const { 'content-type': _dropped, ...rest } = headers('k', '')
    expect((await app.inject({ method: 'POST', url: '/webhooks/github' })).statusCode).toBe(401)
    const signed = await app.inject({ method: 'POST', url: '/webhooks/github', headers: rest })
    expect([signed.statusCode, signed.json()]).toMatchObject([202, { reason: 'the body is not JSON' }])
  })

  it('leaves the parsers of its neighbours alone', async () => {
    const { app } = await gateway()
    const response = await app.inject({ method: 'POST', url: '/json', payload: { a: 1 } })
    expect(response.json()).toEqual({ got: { a: 1 } })
  })
})
