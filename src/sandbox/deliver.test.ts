import fastify from 'fastify'
import { describe, expect, it } from 'vitest'
import { acting, sample } from '../../test/github-samples.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { gatewayRoutes } from '../gateway/routes.ts'
import { github } from '../gateway/sources/github.ts'
import { deliver, signGithub } from './deliver.ts'
import { sandboxLogin, sandboxToken, startSandbox } from './sandbox.ts'

/** The real gateway, with a bus that remembers. */
async function gateway(): Promise<AsyncDisposable & { readonly url: string; readonly events: GuildEvent[] }> {
  const events: GuildEvent[] = []
  const app = fastify({ forceCloseConnections: true })
  await app.register(
    gatewayRoutes({
      bus: { publish: async (_topic, messages) => void events.push(...messages.map((one) => one.body as GuildEvent)) },
      clock: systemClock,
      log: silentLog,
      sources: [github],
      connectors: {
        resolve: () => ({
          name: 'github',
          chapter: () => null,
          secrets: [new Secret('k')],
          botLogins: [sandboxLogin],
        }),
      },
    }),
  )
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  return { url: `${address}/webhooks/github`, events, [Symbol.asyncDispose]: () => app.close() }
}

describe('deliver', () => {
  it('signs as GitHub documents', () => {
    expect(signGithub(new Secret("It's a Secret to Everybody"), 'Hello, World!')).toBe(
      'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
    )
  })

  it('is taken by the gateway; the same delivery again is the same event, a forged one nothing', async () => {
    await using target = await gateway()
    const send = (more: object = {}) =>
      deliver({
        url: target.url,
        secret: 'k',
        event: 'pull_request',
        body: sample('pull_request', acting('opened')),
        delivery: 'd-1',
        ...more,
      })
    const [first, again] = [await send(), await send()]
    expect([first.status, again.status]).toEqual([202, 202])
    expect(again.body).toEqual(first.body)
    expect((await send({ secret: 'wrong' })).status).toBe(401)
    expect((await send({ headers: { 'x-hub-signature-256': undefined } })).status).toBe(401)
    expect(target.events).toHaveLength(2)
  })

  it('closes the circle: what we write comes back as our own echo, with the marker', async () => {
    await using target = await gateway()
    await using sandbox = await startSandbox({ clock: systemClock, webhook: { url: target.url, secret: 'k' } })
    sandbox.github.seedFromWebhook(sample('pull_request', acting('opened')))
    const marker = `act_${'0'.repeat(26)}`
    await fetch(`${sandbox.url}/repos/Codertocat/Hello-World/issues/2/comments`, {
      method: 'POST',
      headers: { authorization: `Bearer ${sandboxToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ body: `Fine.\n\n<!-- guild:${marker} -->` }),
    })
    await sandbox.github.settled()
    expect(target.events).toMatchObject([
      {
        type: 'PR_COMMENTED',
        metadata: {
          self: true,
          marker,
          subject: { id: 'Codertocat/Hello-World#2' },
          actor: { kind: 'bot', id: sandboxLogin },
        },
      },
    ])
  })
})
