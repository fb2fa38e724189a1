import { createHmac } from 'node:crypto'
import { expect, it } from 'vitest'
import { sample } from '../../test/github-samples.ts'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { spanIds } from '../traces/span-ids.ts'
import type { SpanRecord } from '../traces/tracer.ts'
import { Deadlines } from './deadlines.ts'
import { receive } from './receive.ts'
import { github } from './sources/github.ts'

const theirs = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' }

it('keeps the traceparent of the sender as a link and begins a trace of its own, the same for a redelivery', async () => {
  const [first, again] = [await deliver('k'), await deliver('k')]
  const [span] = first.spans
  expect(span).toMatchObject({ name: 'receive github', parentId: null, links: [theirs] })
  expect(span?.traceId).toBe(first.traceId)
  expect(span?.spanId).toBe(spanIds.receive(first.traceId ?? ''))
  expect(again.spans.map(({ traceId, spanId }) => [traceId, spanId])).toEqual([[span?.traceId, span?.spanId]])
})

it('tells nothing of what nobody has signed', async () => {
  expect(await deliver('another key')).toEqual({ spans: [], traceId: undefined })
})

async function deliver(key: string): Promise<{ spans: readonly SpanRecord[]; traceId: string | undefined }> {
  const spans: SpanRecord[] = []
  const body = Buffer.from(JSON.stringify(sample('pull_request')))
  const answer = await receive(
    {
      source: github,
      connector: { name: 'github', chapter: () => null, secrets: [new Secret('k')], botLogins: [] },
      body,
      headers: {
        'content-type': 'application/json',
        'x-github-event': 'pull_request',
        'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
        'x-hub-signature-256': `sha256=${createHmac('sha256', key).update(body).digest('hex')}`,
        traceparent: `00-${theirs.traceId}-${theirs.spanId}-01`,
      },
    },
    {
      bus: { publish: () => Promise.resolve() },
      clock: systemClock,
      log: silentLog,
      deadlines: new Deadlines(2_000),
      tracer: { on: true, since: new Date(0), record: (more) => void spans.push(...more) },
    },
  )
  const { trace_id: traceId } = answer.body as { trace_id?: string } // a refusal has none
  return { spans, traceId }
}
