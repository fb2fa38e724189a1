import { createHmac, randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { acting, sample } from '../../test/github-samples.ts'
import type { BusMessage, DeadLetter } from '../bus/bus.ts'
import { systemClock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { silentLog } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { topics } from '../kernel/topics.ts'
import { Deadlines } from './deadlines.ts'
import { type Answer, deadBodyBytesMax, receive, type ReceiveDeps, type ReceiveOutcome } from './receive.ts'
import type { ConnectorConfig, Headers, Source } from './source.ts'
import { github } from './sources/github.ts'

const key = 'k'
const connector: ConnectorConfig = {
  name: 'github',
  chapter: (scope) => (scope === 'Codertocat/Hello-World' ? 'payments' : null),
  secrets: [new Secret(key)],
  botLogins: [],
}

class Harness {
  readonly published: { topic: string; messages: readonly BusMessage[] }[] = []
  readonly outcomes: ReceiveOutcome[] = []
  readonly deps: ReceiveDeps
  constructor(publish: () => Promise<void> = async () => {}, deadlineMs = 2_000) {
    this.deps = {
      bus: {
        publish: async (topic, messages) => {
          await publish()
          this.published.push({ topic, messages })
        },
      },
      clock: systemClock,
      log: silentLog,
      deadlines: new Deadlines(deadlineMs),
      observe: (outcome) => this.outcomes.push(outcome),
    }
  }
  send(
    body: unknown,
    headers: Headers = {},
    to: Partial<{ connector: ConnectorConfig; source: Source }> = {},
  ): Promise<Answer> {
    const raw = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
    const signature = `sha256=${createHmac('sha256', key).update(raw).digest('hex')}`
    return receive(
      {
        source: github,
        connector,
        body: raw,
        headers: {
          'content-type': 'application/json',
          'x-github-event': 'pull_request',
          'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
          'x-hub-signature-256': signature,
          ...headers,
        },
        ...to,
      },
      this.deps,
    )
  }
  events(): readonly GuildEvent[] {
    return this.published
      .filter(({ topic }) => topic === topics.inbound)
      .flatMap(({ messages }) => messages.map((message) => message.body as GuildEvent))
  }
  letters(): readonly DeadLetter[] {
    return this.published
      .filter(({ topic }) => topic === topics.dead)
      .flatMap(({ messages }) => messages.map((message) => message.body as DeadLetter))
  }
}

const opened = sample('pull_request', acting('opened'))
const codeOf = (answer: Answer): string => (answer.body as { error: { code: string } }).error.code

describe('receive', () => {
  it('answers 202 with the ids of events that are already durable', async () => {
    const gateway = new Harness()
    const answer = await gateway.send(opened)
    const [event] = gateway.events()
    expect(answer).toEqual({
      status: 202,
      headers: {},
      body: { event_ids: [event?.id], trace_id: event?.metadata.trace_id },
    })
    expect(event).toMatchObject({
      id: expect.stringMatching(/^evt_[0-9a-z]{26}$/),
      type: 'PR_OPENED',
      source: 'github',
      timestamp: '2019-05-15T15:20:33.000Z',
      metadata: {
        schema_version: 1,
        trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
        delivery_id: '72d3162e-cc78-11e3-81ab-4c9367dc0958',
        body_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
        connector: 'github',
        chapter: 'payments',
        origin: 'webhook',
        causal: { root: event?.id, depth: 0, parent: null },
      },
    })
    expect(gateway.published[0]?.messages[0]).toMatchObject({
      id: event?.metadata.receipt_id,
      key: 'Codertocat/Hello-World#2',
      priority: 'NORMAL',
    })
    expect(gateway.outcomes).toMatchObject([{ result: 'accepted', events: 1, connector: 'github' }])
  })

  it('publishes all events of a delivery at once, under one trace', async () => {
    const gateway = new Harness()
    const forced = { ...sample('push'), ref: 'refs/heads/master', forced: true }
    await gateway.send(forced, { 'x-github-event': 'push' })
    expect(gateway.published).toHaveLength(1)
    const [pushed, wiped] = gateway.events()
    expect([pushed?.type, wiped?.type]).toEqual(['CODE_PUSHED', 'BRANCH_FORCE_PUSHED'])
    expect(pushed?.metadata.trace_id).toBe(wiped?.metadata.trace_id)
    expect(pushed?.metadata.receipt_id).not.toBe(wiped?.metadata.receipt_id)
  })

  it('makes one event id of fifty identical deliveries, and fifty receipts', async () => {
    const gateway = new Harness()
    await Promise.all(Array.from({ length: 50 }, () => gateway.send(opened)))
    expect(new Set(gateway.events().map((event) => event.id)).size).toBe(1)
    expect(new Set(gateway.events().map((event) => event.metadata.receipt_id)).size).toBe(50)
  })

  it('keeps what it has no type for', async () => {
    const gateway = new Harness()
    expect((await gateway.send({ hello: 1 }, { 'x-github-event': 'a_new_event' })).status).toBe(202)
    expect(gateway.events()[0]?.type).toBe('SOURCE_EVENT_UNMAPPED')
  })

  it('answers a ping without making an event', async () => {
    const gateway = new Harness()
    const answer = await gateway.send(sample('ping'), { 'x-github-event': 'ping' })
    expect(answer).toMatchObject({ status: 200, body: { event_ids: [], note: expect.stringContaining('ping') } })
    expect(gateway.published).toEqual([])
  })

  it.each([
    ['unsigned', { 'x-hub-signature-256': undefined }, 'GUILD_SIGNATURE_MISSING'],
    ['forged', { 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` }, 'GUILD_SIGNATURE_INVALID'],
  ])('refuses an %s delivery with 401 and keeps nothing', async (_what, headers, code) => {
    const gateway = new Harness()
    const answer = await gateway.send(opened, headers)
    expect([answer.status, codeOf(answer)]).toEqual([401, code])
    expect(gateway.published).toEqual([])
  })

  it('names the setting when a source has no secret', async () => {
    const answer = await new Harness().send(opened, {}, { connector: { ...connector, secrets: [new Secret('')] } })
    expect(answer.status).toBe(401)
    expect(JSON.stringify(answer.body)).toContain('GITHUB_WEBHOOK_SECRET')
  })

  it('buries a signed body that is broken, without the signature', async () => {
    const gateway = new Harness()
    const raw = Buffer.from('{"action": "opened"')
    const answer = await gateway.send(raw)
    const [letter] = gateway.letters()
    expect(answer).toMatchObject({ status: 202, body: { event_ids: [], dead_letter: letter?.id } })
    expect(letter).toMatchObject({
      topic: topics.inbound,
      group: null,
      attempts: 0,
      reason: 'the body is not JSON',
      body: {
        source: 'github',
        bytes: raw.byteLength,
        truncated: false,
        bodyBase64: raw.toString('base64'),
        headers: { 'x-github-event': 'pull_request' },
      },
    })
    expect(JSON.stringify(letter)).not.toContain('sha256=')
  })

  it('buries a body that is not what its unsigned event header claims', async () => {
    const gateway = new Harness()
    expect((await gateway.send(opened, { 'x-github-event': 'issues' })).status).toBe(202)
    expect(gateway.events()).toEqual([])
    expect(gateway.letters()[0]?.reason).toContain('no issues')
  })

  it('never buries a leaked secret', async () => {
    const gateway = new Harness()
    const leak = { action: 'created', alert: { number: 1, secret_type: 't', secret: 'ghp_leaked' } }
    await gateway.send(leak, { 'x-github-event': 'secret_scanning_alert' })
    const body = gateway.letters()[0]?.body as { bodyBase64: string }
    expect(Buffer.from(body.bodyBase64, 'base64').toString()).not.toContain('ghp_leaked')
  })

  it('buries no more of a body than a person would read', async () => {
    const gateway = new Harness()
    await gateway.send(Buffer.alloc(deadBodyBytesMax + 10, 'x'))
    expect(gateway.letters()[0]?.body).toMatchObject({ truncated: true, bytes: deadBodyBytesMax + 10 })
  })

  it('buries what a source of ours fails on: its sender will not send it again', async () => {
    const gateway = new Harness()
    const broken: Source = {
      ...github,
      normalise() {
        throw new TypeError('a bug')
      },
    }
    expect((await gateway.send(opened, {}, { source: broken })).status).toBe(202)
    expect(gateway.letters()[0]?.reason).toContain('a bug')
  })

  it('reads forms, whatever the parameters of the content type', async () => {
    const gateway = new Harness()
    const form = Buffer.from(new URLSearchParams({ payload: JSON.stringify(opened) }).toString())
    await gateway.send(form, { 'content-type': 'Application/X-WWW-Form-URLEncoded; charset=utf-8' })
    expect(gateway.events()[0]?.type).toBe('PR_OPENED')
  })

  it('asks the sender to come back when the store fails', async () => {
    const gateway = new Harness(() =>
      Promise.reject(new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'connection refused' })),
    )
    const answer = await gateway.send(opened)
    expect([answer.status, answer.headers, codeOf(answer)]).toEqual([503, { 'retry-after': '5' }, 'GUILD_OVERLOADED'])
    expect(gateway.outcomes).toMatchObject([{ result: 'overloaded', events: 0 }])
  })

  it('answers 503 at the deadline while the store still works', async () => {
    const slow = Promise.withResolvers<void>()
    const gateway = new Harness(() => slow.promise, 20)
    expect((await gateway.send(opened)).status).toBe(503)
    slow.resolve()
    await slow.promise
  })

  it('cuts keys that no index could hold', async () => {
    const gateway = new Harness()
    await gateway.send(
      { ...sample('create'), ref: 'é'.repeat(5_000), ref_type: 'branch' },
      { 'x-github-event': 'create' },
    )
    const [event] = gateway.events()
    expect(event?.metadata.dedup_key.length).toBeLessThan(500)
    expect(event?.metadata.subject.id.length).toBeLessThan(500)
  })

  it('answers any signed bytes under any event name with 2xx or 400, and any unsigned ones with 401', async () => {
    const events = ['push', 'issues', 'pull_request', 'constructor', 'ping', 'zz']
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((text) => Buffer.from(text)),
      fc.constantFrom(opened, sample('push'), sample('issues')).map((one) => {
        const text = JSON.stringify(one)
        return Buffer.from(text.slice(0, text.length - 1))
      }),
    )
    await fc.assert(
      fc.asyncProperty(
        body,
        fc.oneof(fc.constantFrom(...events), fc.string()),
        fc.string(),
        async (raw, event, type) => {
          const gateway = new Harness()
          const headers = { 'x-github-event': event, 'x-github-delivery': randomUUID(), 'content-type': type }
          expect([200, 202, 400]).toContain((await gateway.send(raw, headers)).status)
          expect((await gateway.send(raw, { ...headers, 'x-hub-signature-256': type })).status).toBe(401)
        },
      ),
      { numRuns: 300 },
    )
  })
})
