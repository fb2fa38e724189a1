import type { Bus, BusMessage, DeadLetter } from '../bus/bus.ts'
import type { Clock } from '../kernel/clock.ts'
import { type ErrorCode, type ErrorDetails, GuildError, reasonOf } from '../kernel/errors.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { hashId, sha256, timeId, traceId } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import { receiveSpan } from '../traces/event-spans.ts'
import { linkFrom } from '../traces/traceparent.ts'
import type { Tracer } from '../traces/tracer.ts'
import type { Deadlines } from './deadlines.ts'
import type { ConnectorConfig, EventDraft, NativeDelivery, RawDelivery, Source } from './source.ts'

export interface ReceiveDeps {
  readonly bus: Pick<Bus, 'publish'>
  readonly clock: Clock
  readonly log: Log
  /** of what is being stored; see `deadlineMsDefault` */
  readonly deadlines: Deadlines
  readonly observe?: (outcome: ReceiveOutcome) => void
  readonly tracer?: Tracer
}

export interface Incoming extends RawDelivery {
  readonly source: Source
  readonly connector: ConnectorConfig
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: object
}

/** One per request, for metrics. */
export interface ReceiveOutcome {
  readonly source: string
  readonly connector: string
  readonly result: 'accepted' | 'control' | 'dead' | 'unauthenticated' | 'invalid' | 'overloaded'
  readonly events: number
  readonly bytes: number
  readonly ms: number
}

/** Slack gives up after 3 s: answer before, or say 503. */
export const deadlineMsDefault = 2_000
const retryAfterSeconds = 5
/** A dead letter is for people to look at; more than this of it is not kept. */
export const deadBodyBytesMax = 1024 * 1024

/**
 * One verified delivery → its events, durable → 2xx. Answers: 202 `{event_ids, trace_id}` once the publish has resolved; 200 for a
 * control delivery; 202 `{dead_letter}` for an authentic body that cannot be read; 401 unsigned, forged or no secret; 400 without the
 * sender's headers; 503 with `Retry-After` when the store fails or is late. Never 429: half of the senders drop on it (edges 1.1).
 */
export async function receive(incoming: Incoming, deps: ReceiveDeps): Promise<Answer> {
  const startedAt = deps.clock.now()
  const { answer, result, events } = await answered(incoming, startedAt, deps)
  deps.observe?.({
    source: incoming.source.name,
    connector: incoming.connector.name,
    result,
    events,
    bytes: incoming.body.byteLength,
    ms: deps.clock.now().getTime() - startedAt.getTime(),
  })
  return answer
}

interface Result {
  readonly answer: Answer
  readonly result: ReceiveOutcome['result']
  readonly events: number
}

async function answered(incoming: Incoming, receivedAt: Date, deps: ReceiveDeps): Promise<Result> {
  const { source, connector } = incoming
  const verdict = source.verify(incoming, connector.secrets)
  if (verdict.kind === 'refused') {
    deps.log.warn({ source: source.name, connector: connector.name, code: verdict.code }, 'delivery refused')
    const setting = connector.secretSetting ?? source.secretSetting
    return refused('unauthenticated', verdict.code, { source: source.name, setting })
  }
  const reading = read(incoming, receivedAt)
  switch (reading.kind) {
    case 'control':
      deps.log.info({ source: source.name, connector: connector.name, note: reading.note }, 'control delivery')
      return {
        answer: answer(200, { event_ids: [], trace_id: null, note: reading.note }),
        result: 'control',
        events: 0,
      }
    case 'invalid':
      return refused('invalid', 'GUILD_DELIVERY_INVALID', { what: reading.what })
    case 'unreadable':
      return await bury(incoming, reading.reason, reading.body, receivedAt, deps)
    case 'events':
      return await accept(incoming, reading.native, reading.drafts, receivedAt, deps)
  }
}

type Reading =
  | { readonly kind: 'control'; readonly note: string }
  | { readonly kind: 'invalid'; readonly what: string }
  | { readonly kind: 'unreadable'; readonly reason: string; readonly body: Uint8Array }
  | { readonly kind: 'events'; readonly native: NativeDelivery; readonly drafts: readonly EventDraft[] }

function read(incoming: Incoming, receivedAt: Date): Reading {
  const { source, connector, body } = incoming
  try {
    const parsed = source.parse(incoming)
    if (parsed.kind === 'unreadable') return { ...parsed, body }
    if (parsed.kind !== 'parsed') return parsed
    const { native } = parsed
    const normalised = source.normalise(native, { botLogins: connector.botLogins, receivedAt })
    if (normalised.kind === 'events') return { kind: 'events', native, drafts: normalised.drafts }
    // The parsed body, not the raw one: it is free of leaked secrets.
    return { kind: 'unreadable', reason: normalised.reason, body: Buffer.from(JSON.stringify(native.body)) }
  } catch (error) {
    // A mistake of ours must not lose an authentic delivery that its sender will not send again.
    return { kind: 'unreadable', reason: `the source ${source.name} failed: ${reasonOf(error)}`, body }
  }
}

async function accept(
  { source, connector, headers, body }: Incoming,
  native: NativeDelivery,
  drafts: readonly EventDraft[],
  receivedAt: Date,
  deps: ReceiveDeps,
): Promise<Result> {
  const bodyHash = source.replay.bodyHashMs === null ? null : sha256(body)
  const firstId = hashId('evt', source.name, native.deliveryId, 0)
  const trace = traceId(firstId)
  const events = drafts.map((draft, index): GuildEvent => {
    const id = index === 0 ? firstId : hashId('evt', source.name, native.deliveryId, index)
    return {
      id,
      timestamp: draft.occurredAt.toISOString(),
      type: draft.type,
      source: source.name,
      payload: draft.payload,
      metadata: {
        schema_version: 1,
        trace_id: trace,
        priority: draft.priority,
        occurred_at: draft.occurredAt.toISOString(),
        received_at: receivedAt.toISOString(),
        delivery_id: native.deliveryId,
        receipt_id: timeId('rcv', receivedAt.getTime()),
        dedup_key: indexable(draft.dedupKey),
        body_hash: bodyHash,
        subject: { ...draft.subject, id: indexable(draft.subject.id) },
        actor: draft.actor,
        correlation_id: draft.correlationId,
        origin: 'webhook',
        connector: connector.name,
        chapter: connector.chapter(draft.scope),
        self: draft.self,
        marker: draft.marker,
        causal: { root: id, depth: 0, parent: null },
      },
    }
  })
  const fields = {
    source: source.name,
    connector: connector.name,
    deliveryId: native.deliveryId,
    traceId: trace,
    eventIds: events.map((event) => event.id),
    types: events.map((event) => event.type),
  }
  const messages = events.map((event) => ({
    id: event.metadata.receipt_id,
    key: event.metadata.subject.id,
    priority: event.metadata.priority,
    body: event,
  }))
  if (!(await stored(topics.inbound, messages, fields, deps))) return overloaded()
  deps.log.info(fields, 'delivery accepted')
  const [first] = events
  if (deps.tracer?.on && first) {
    const link = linkFrom(headers['traceparent'])
    deps.tracer.record([receiveSpan(first, { endMs: deps.clock.now().getTime(), link })])
  }
  return {
    answer: answer(202, { event_ids: fields.eventIds, trace_id: trace }),
    result: 'accepted',
    events: events.length,
  }
}

async function bury(
  { source, connector, headers, body: raw }: Incoming,
  reason: string,
  body: Uint8Array,
  receivedAt: Date,
  deps: ReceiveDeps,
): Promise<Result> {
  const id = timeId('rcv', receivedAt.getTime())
  const kept = source.keptHeaders.flatMap((name) => {
    const value = headers[name]
    return value === undefined ? [] : [[name, value.slice(0, 500)] as const]
  })
  const letter: DeadLetter = {
    topic: topics.inbound,
    group: null,
    id,
    reason,
    attempts: 0,
    body: {
      source: source.name,
      connector: connector.name,
      receivedAt: receivedAt.toISOString(),
      headers: Object.fromEntries(kept),
      bytes: raw.byteLength,
      sha256: sha256(raw),
      truncated: body.byteLength > deadBodyBytesMax,
      bodyBase64: Buffer.from(body.subarray(0, deadBodyBytesMax)).toString('base64'),
    },
  }
  const fields = { source: source.name, connector: connector.name, deadLetter: id, reason }
  if (!(await stored(topics.dead, [{ id, body: letter }], fields, deps))) return overloaded()
  deps.log.warn(fields, 'delivery kept as a dead letter')
  return { answer: answer(202, { event_ids: [], trace_id: null, dead_letter: id, reason }), result: 'dead', events: 0 }
}

/** True once durable; false when the store failed or did not answer in time (it may still commit: ids make the resend a no-op). */
function stored(
  topic: string,
  messages: readonly BusMessage[],
  fields: object,
  { bus, log, deadlines }: ReceiveDeps,
): Promise<boolean> {
  return new Promise((resolve) => {
    let late = false
    const deadline = deadlines.open(() => {
      late = true
      log.error(fields, 'delivery not stored in time')
      resolve(false)
    })
    void (async () => {
      try {
        await bus.publish(topic, messages)
        if (late) log.warn(fields, 'delivery stored after the deadline')
        resolve(true)
      } catch (error) {
        log.error({ ...fields, reason: reasonOf(error) }, 'delivery not stored')
        resolve(false)
      }
      deadline.met()
    })()
  })
}

/** Keys are indexed, and an index row holds 2 700 bytes: what no real name reaches is cut, and stays unique by its hash. */
function indexable(key: string): string {
  return key.length <= 500 ? key : `${key.slice(0, 400).toWellFormed()}~${sha256(key)}`
}

function answer(status: number, body: object, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers, body }
}

function overloaded(): Result {
  return refused('overloaded', 'GUILD_OVERLOADED', {})
}

function refused(result: ReceiveOutcome['result'], code: ErrorCode, details: ErrorDetails): Result {
  return { answer: errorAnswer(new GuildError(code, details)), result, events: 0 }
}

/** `{error: {code, message, fix}}`; 503 always says when to come back. */
export function errorAnswer(error: GuildError): Answer {
  const headers: Record<string, string> = error.status === 503 ? { 'retry-after': String(retryAfterSeconds) } : {}
  return answer(error.status, { error: { code: error.code, message: error.message, fix: error.fix } }, headers)
}
