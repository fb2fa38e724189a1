import { expect, it } from 'vitest'
import { until } from '../../test/e2e/until.ts'
import { startCollector } from '../../test/wire/otlp.ts'
import type { Log } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { type OtlpLimits, OtlpTracer } from './otlp-tracer.ts'
import { spanIds } from './span-ids.ts'
import type { SpanRecord } from './tracer.ts'

const traceId = 'a'.repeat(32)

function aSpan(name: string, over: Partial<SpanRecord> = {}): SpanRecord {
  const spanId = spanIds.run(name)
  const times = { startMs: 1_764_000_000_123, endMs: 1_764_000_000_456 }
  return { traceId, spanId, parentId: null, name, kind: 'internal', ...times, attributes: {}, error: null, ...over }
}

function open(url: string, limits: Partial<OtlpLimits> = {}, headers?: string) {
  const said: string[] = []
  const note = (_: object, phrase: string) => void said.push(phrase)
  const log: Log = { debug: note, info: note, warn: note, error: note }
  const secret = headers === undefined ? undefined : new Secret(headers)
  const options = { url: `${url}/v1/traces`, headers: secret, serviceName: 'guild', version: '1', instance: 'me', log }
  return { tracer: new OtlpTracer({ ...options, limits: { delayMs: 5, ...limits } }), said }
}

it('tells a span as it was: times, parent, attributes, error, links; what has no value is left out', async () => {
  await using collector = await startCollector()
  const { tracer } = open(collector.url, {}, 'authorization=Bearer%20abc,x-team=core')
  const link = { traceId: 'b'.repeat(32), spanId: 'c'.repeat(16) }
  const attributes = { text: 'x', count: 3, share: 0.5, yes: true, list: ['a', 'b'], none: null, missing: undefined }
  tracer.record([
    aSpan('parent'),
    aSpan('child', { parentId: spanIds.run('parent'), attributes, error: 'LOOP', links: [link] }),
  ])
  await tracer.close()
  expect(collector.spans).toMatchObject([
    { name: 'parent', parentSpanId: '', failed: false, service: 'guild', instance: 'me', links: [] },
    { name: 'child', parentSpanId: spanIds.run('parent'), failed: true, links: [link] },
  ])
  expect(collector.spans[1]?.attributes).toEqual({
    text: 'x',
    count: 3,
    share: 0.5,
    yes: true,
    list: ['a', 'b'],
    'error.type': 'LOOP',
  })
  expect(collector.spans[1]).toMatchObject({ startMs: 1_764_000_000_123, endMs: 1_764_000_000_456 })
  expect(collector.requests[0]).toMatchObject({
    path: '/v1/traces',
    headers: { authorization: 'Bearer abc', 'x-team': 'core' },
  })
  expect(tracer.counts).toEqual({ exported: 2, dropped: 0, failed: 0 })
})

it('holds no more spans than its queue, and counts what it drops', async () => {
  await using collector = await startCollector()
  collector.hang(true)
  const { tracer } = open(collector.url, { queueMax: 10, batchMax: 4 })
  tracer.record([aSpan('1'), aSpan('2'), aSpan('3'), aSpan('4')])
  await until(() => collector.requests.length === 1, { what: 'the first batch is on its way' })
  tracer.record(Array.from({ length: 25 }, (_, index) => aSpan(`more ${index}`)))
  expect(tracer.counts.dropped).toBe(15)
  collector.hang(false)
  await tracer.close()
  expect(collector.spans).toHaveLength(14)
  expect(tracer.counts).toEqual({ exported: 14, dropped: 15, failed: 0 })
})

it('loses spans and nothing else when the collector refuses, says so once, and goes on when it is back', async () => {
  await using collector = await startCollector()
  collector.answer(400)
  const { tracer, said } = open(collector.url)
  for (const name of ['first', 'second']) {
    const { failed } = tracer.counts
    tracer.record([aSpan(name)])
    await until(() => tracer.counts.failed > failed, { what: `${name} is given up` })
  }
  expect(said).toEqual(['traces are not exported'])
  collector.answer(200)
  tracer.record([aSpan('third')])
  await tracer.close()
  expect(said).toEqual(['traces are not exported', 'traces are exported again'])
  expect(tracer.counts).toEqual({ exported: 1, dropped: 0, failed: 2 })
})

it('ends within its limit when the collector never answers', async () => {
  await using collector = await startCollector()
  collector.hang(true)
  const { tracer } = open(collector.url, { closeMs: 50 })
  tracer.record([aSpan('last')])
  const began = performance.now()
  await tracer.close()
  expect(performance.now() - began).toBeLessThan(2_000)
  expect(collector.spans).toEqual([])
})

it('gives up headers that are not headers without a word of them', async () => {
  await using collector = await startCollector()
  const { tracer, said } = open(collector.url, {}, 'authorization=%E0%A4%A')
  tracer.record([aSpan('one')])
  await tracer.close()
  expect(said).toEqual(['traces are not exported'])
  expect(tracer.counts).toEqual({ exported: 0, dropped: 0, failed: 1 })
})
