import type { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import type { Attributes } from '@opentelemetry/api'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Secret } from '../kernel/secret.ts'
import { errorType } from './attributes.ts'
import type { SpanRecord, Tracer } from './tracer.ts'

export interface OtlpOptions {
  /** where spans are posted to, path included */
  readonly url: string
  /** `name=value,name=value`, values URL-encoded */
  readonly headers: Secret | undefined
  readonly serviceName: string
  readonly version: string
  /** this process */
  readonly instance: string
  readonly log: Log
  readonly limits?: Partial<OtlpLimits>
}

export interface OtlpLimits {
  /** spans waiting to be sent; more are dropped and counted */
  readonly queueMax: number
  /** spans in one request */
  readonly batchMax: number
  /** from the first span waiting to the request */
  readonly delayMs: number
  /** one batch, retries included; what is not taken by then is given up and counted */
  readonly timeoutMs: number
  /** how long the end of the process waits for what is left */
  readonly closeMs: number
}

const defaults: OtlpLimits = { queueMax: 4_096, batchMax: 512, delayMs: 1_000, timeoutMs: 5_000, closeMs: 3_000 }

export interface SpanCounts {
  readonly exported: number
  /** the queue was full */
  readonly dropped: number
  /** the collector did not take them */
  readonly failed: number
}

type Export = (batch: readonly SpanRecord[]) => Promise<void>

/**
 * Sends spans to an OpenTelemetry collector as OTLP over HTTP (JSON), in the background. The SDK is loaded with the first batch. A
 * collector that is slow, refuses or is gone costs spans, which are counted, and never anything else; it is logged once, and once more
 * when it is back.
 */
export class OtlpTracer implements Tracer {
  readonly on = true
  readonly since = new Date()
  readonly #options: OtlpOptions
  readonly #limits: OtlpLimits
  #queue: SpanRecord[] = []
  #timer: NodeJS.Timeout | null = null
  #sending: Promise<void> | null = null
  #opened: Promise<{ readonly send: Export; readonly shutdown: () => Promise<void> }> | null = null
  #failing = false
  #closed = false
  #counts: SpanCounts = { exported: 0, dropped: 0, failed: 0 }

  constructor(options: OtlpOptions) {
    this.#options = options
    this.#limits = { ...defaults, ...options.limits }
  }

  get counts(): SpanCounts {
    return this.#counts
  }

  record(spans: readonly SpanRecord[]): void {
    const room = this.#closed ? 0 : Math.max(0, this.#limits.queueMax - this.#queue.length)
    this.#queue.push(...spans.slice(0, room))
    if (spans.length > room) this.#count({ dropped: spans.length - room })
    if (this.#queue.length >= this.#limits.batchMax) this.#send()
    else if (this.#queue.length > 0) this.#timer ??= setTimeout(() => this.#send(), this.#limits.delayMs).unref()
  }

  /** Sends what is left, for `closeMs` at most. */
  async close(): Promise<void> {
    this.#closed = true
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(), this.#limits.closeMs)
    const late = new Promise<void>((resolve) => limit.signal.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([this.#drain(), late])
    clearTimeout(timer)
    this.#count({ failed: this.#queue.splice(0).length })
  }

  async #drain(): Promise<void> {
    this.#send()
    while (this.#sending) await this.#sending
    // A failure to open has been logged with the batch that needed it.
    await this.#opened?.then(({ shutdown }) => shutdown()).catch(() => undefined)
  }

  /** One request at a time: a collector that is slow fills the queue, not the memory. */
  #send(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#queue.length === 0) return
    this.#sending ??= this.#ship()
  }

  async #ship(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#limits.batchMax)
      try {
        this.#opened ??= open(this.#options, this.#limits)
        await (await this.#opened).send(batch)
        this.#count({ exported: batch.length })
        if (this.#failing) this.#options.log.info({}, 'traces are exported again')
        this.#failing = false
      } catch (error) {
        this.#count({ failed: batch.length })
        if (!this.#failing) this.#options.log.warn({ reason: reasonOf(error) }, 'traces are not exported')
        this.#failing = true
      }
    }
    this.#sending = null
  }

  #count(more: Partial<SpanCounts>): void {
    const { exported, dropped, failed } = this.#counts
    this.#counts = {
      exported: exported + (more.exported ?? 0),
      dropped: dropped + (more.dropped ?? 0),
      failed: failed + (more.failed ?? 0),
    }
  }
}

async function open(options: OtlpOptions, { timeoutMs }: OtlpLimits) {
  const [{ OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ])
  const { url, serviceName, version, instance } = options
  const exporter = new OTLPTraceExporter({ url, headers: headersOf(options.headers), timeoutMillis: timeoutMs })
  const shared = {
    resource: resourceFromAttributes({
      'service.name': serviceName,
      'service.version': version,
      'service.instance.id': instance,
    }),
    instrumentationScope: { name: 'guild', version },
  }
  return {
    send: (batch: readonly SpanRecord[]) =>
      exported(
        exporter,
        batch.map((span) => readable(span, shared)),
      ),
    shutdown: () => exporter.shutdown(),
  }
}

function exported(exporter: OTLPTraceExporter, spans: ReadableSpan[]): Promise<void> {
  return new Promise((resolve, reject) => {
    // ExportResultCode.SUCCESS is 0.
    exporter.export(spans, ({ code, error }: { readonly code: number; readonly error?: Error }) => {
      if (code === 0) resolve()
      else reject(error ?? new Error('the collector did not take them'))
    })
  })
}

const kinds = { internal: 0, server: 1, client: 2, consumer: 4 } as const // SpanKind of the API
const sampled = 1

function readable(span: SpanRecord, shared: Pick<ReadableSpan, 'resource' | 'instrumentationScope'>): ReadableSpan {
  const { traceId, spanId, parentId, name, kind, startMs, endMs, error } = span
  const end = Math.max(startMs, endMs)
  const told: Attributes = {}
  for (const [key, value] of Object.entries({ ...span.attributes, [errorType]: error })) {
    if (value !== null && value !== undefined) told[key] = typeof value === 'object' ? [...value] : value
  }
  const context = { traceId, spanId, traceFlags: sampled }
  return {
    ...shared,
    name,
    kind: kinds[kind],
    spanContext: () => context,
    ...(parentId !== null && { parentSpanContext: { traceId, spanId: parentId, traceFlags: sampled } }),
    startTime: hrTime(startMs),
    endTime: hrTime(end),
    duration: hrTime(end - startMs),
    ended: true,
    status: error === null ? { code: 0 } : { code: 2 },
    attributes: told,
    links: (span.links ?? []).map((link) => ({ context: { ...link, traceFlags: 0, isRemote: true } })),
    events: [],
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1_000)
  return [seconds, Math.round((ms - seconds * 1_000) * 1_000_000)]
}

/** The format of OTEL_EXPORTER_OTLP_HEADERS: W3C baggage without properties. */
function headersOf(secret: Secret | undefined): Record<string, string> {
  const pairs = (secret?.reveal() ?? '').split(',').flatMap((pair) => {
    const at = pair.indexOf('=')
    return at > 0 ? [[pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())] as const] : []
  })
  return Object.fromEntries(pairs)
}
