import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'

/** A span as a collector reads it from the wire. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  /** empty: the root */
  readonly parentSpanId: string
  readonly name: string
  readonly kind: number
  readonly startMs: number
  readonly endMs: number
  readonly failed: boolean
  readonly attributes: Readonly<Record<string, unknown>>
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly service: unknown
  /** the process that told it */
  readonly instance: unknown
}

export interface Collector extends AsyncDisposable {
  readonly url: string
  readonly spans: readonly ReceivedSpan[]
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders }[]
  /** what the next requests are answered with; 200 takes them */
  answer(status: number): void
  /** requests stay without an answer until this is called with false */
  hang(still: boolean): void
}

const value = z.union([
  z.object({ stringValue: z.string() }).transform((one) => one.stringValue as unknown),
  z.object({ boolValue: z.boolean() }).transform((one) => one.boolValue as unknown),
  z.object({ intValue: z.coerce.number() }).transform((one) => one.intValue as unknown),
  z.object({ doubleValue: z.number() }).transform((one) => one.doubleValue as unknown),
  z
    .object({ arrayValue: z.object({ values: z.array(z.object({ stringValue: z.string() })) }) })
    .transform((one) => one.arrayValue.values.map((item) => item.stringValue) as unknown),
])
const attributes = z
  .array(z.object({ key: z.string(), value }))
  .transform((pairs) => Object.fromEntries(pairs.map((pair) => [pair.key, pair.value])))
const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`))
const nanos = z.union([z.string(), z.number()]).transform((one) => Number(BigInt(one) / 1_000_000n))
const request = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: hex(32),
              spanId: hex(16),
              parentSpanId: hex(16).optional(),
              name: z.string(),
              kind: z.int(),
              startTimeUnixNano: nanos,
              endTimeUnixNano: nanos,
              attributes,
              status: z.object({ code: z.int() }),
              links: z.array(z.object({ traceId: hex(32), spanId: hex(16) })),
            }),
          ),
        }),
      ),
    }),
  ),
})

/** An OpenTelemetry collector on loopback that reads OTLP/JSON by the letter and keeps every span. */
export async function startCollector(): Promise<Collector> {
  const spans: ReceivedSpan[] = []
  const requests: { path: string; headers: IncomingHttpHeaders }[] = []
  let status = 200
  let held = Promise.withResolvers<void>()
  held.resolve()
  const server = createServer((incoming, response) => {
    void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of incoming) chunks.push(chunk as Buffer) // a stream without an encoding gives buffers
      requests.push({ path: incoming.url ?? '', headers: incoming.headers })
      await held.promise
      if (status === 200) spans.push(...read(Buffer.concat(chunks).toString()))
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    })().catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP server has a port
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    requests,
    answer(next) {
      status = next
    },
    hang(still) {
      if (still) held = Promise.withResolvers()
      else held.resolve()
    },
    async [Symbol.asyncDispose]() {
      held.resolve()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function read(body: string): readonly ReceivedSpan[] {
  return request.parse(JSON.parse(body)).resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) =>
      scope.spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        name: span.name,
        kind: span.kind,
        startMs: span.startTimeUnixNano,
        endMs: span.endTimeUnixNano,
        failed: span.status.code === 2,
        attributes: span.attributes,
        links: span.links,
        service: resource.attributes['service.name'],
        instance: resource.attributes['service.instance.id'],
      })),
    ),
  )
}
