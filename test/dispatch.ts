import type { BusMessage, TopicBatch } from '../src/bus/bus.ts'
import type { Outbox } from '../src/bus/outbox.ts'
import { compileCondition } from '../src/codex/condition.ts'
import { agent as agentSchema } from '../src/codex/kinds.ts'
import { type CodexSnapshot, type CompiledAgent, type CompiledRoute, noPrivacy } from '../src/codex/snapshot.ts'
import type { Statement } from '../src/database/database.ts'
import type { EventMetadata, GuildEvent } from '../src/kernel/event.ts'
import { hashId, traceId } from '../src/kernel/ids.ts'

export interface EventOverrides extends Partial<Omit<GuildEvent, 'metadata'>> {
  readonly metadata?: Partial<EventMetadata>
}

let count = 0

/** An event as the gateway publishes it, each with its own delivery; `over` changes what a test is about. */
export function anEvent({ metadata, ...over }: EventOverrides = {}): GuildEvent {
  count += 1
  const deliveryId = metadata?.delivery_id ?? `delivery-${count}`
  const source = over.source ?? 'github'
  const id = over.id ?? hashId('evt', source, deliveryId, 0)
  return {
    id,
    timestamp: '2026-11-22T10:00:00Z',
    type: 'PR_OPENED',
    source,
    payload: { number: 12, title: 'Mend the till' },
    ...over,
    metadata: {
      schema_version: 1,
      trace_id: traceId(id),
      priority: 'NORMAL',
      occurred_at: '2026-11-22T10:00:00Z',
      received_at: '2026-11-22T10:00:01Z',
      delivery_id: deliveryId,
      receipt_id: hashId('rcv', deliveryId, count),
      dedup_key: `fact-${count}`,
      body_hash: null,
      subject: { kind: 'pull_request', id: 'octo/shop#12', url: 'https://github.com/octo/shop/pull/12' },
      actor: { kind: 'user', id: 'ada', display: 'ada', integrity: 'member' },
      correlation_id: null,
      origin: 'webhook',
      connector: 'github',
      chapter: null,
      self: false,
      marker: null,
      causal: { root: id, depth: 0, parent: null },
      ...metadata,
    },
  }
}

export interface AgentOverrides {
  readonly type?: string
  readonly chapter?: string
  readonly version?: string
  readonly maxDepth?: number
  readonly unmet?: readonly string[]
  readonly capabilities?: readonly string[]
}

export function anAgent(id: string, over: AgentOverrides = {}): CompiledAgent {
  const manifest = agentSchema.parse({
    apiVersion: 'guild/v1',
    kind: 'Agent',
    metadata: {
      name: id,
      type: over.type ?? id,
      version: over.version ?? '1.0.0',
      owner: 'core',
      ...(over.chapter && { chapter: over.chapter }),
    },
    spec: {
      capabilities: over.capabilities ?? [],
      prompt: { system: 'prompts/agent.md' },
      limits: { causal: { maxDepth: over.maxDepth ?? 4 } },
    },
  })
  return {
    id,
    manifest,
    place: { file: `agents/${id}.yaml`, line: 1 },
    system: '',
    output: null,
    rules: [],
    files: {},
    conditions: new Map(),
    unmet: over.unmet ?? [],
  }
}

export interface RouteOverrides {
  readonly where?: string
  readonly source?: string
  readonly priority?: CompiledRoute['priority']
  readonly mute?: string
}

/** @param name `routing/events.yaml#name` */
export function aRoute(
  name: string,
  eventType: string,
  targets: readonly string[],
  over: RouteOverrides = {},
): CompiledRoute {
  return {
    rule: `routing/events.yaml#${name}`,
    place: { file: 'routing/events.yaml', line: 1 },
    eventType,
    source: over.source ?? null,
    where: over.where ? compileCondition(over.where, ['event', 'payload', 'metadata']) : null,
    targets,
    priority: over.priority ?? null,
    mute: over.mute ?? null,
  }
}

export function aSnapshot(agents: readonly CompiledAgent[], routes: readonly CompiledRoute[]): CodexSnapshot {
  return {
    commit: 'c'.repeat(40),
    hash: 'h1',
    loadedAt: new Date('2026-11-22T09:00:00Z'),
    agents: new Map(agents.map((agent) => [agent.id, agent])),
    chapters: new Map(),
    people: new Map(),
    routes,
    policies: [],
    connectors: new Map(),
    providers: new Map(),
    rulesFiles: new Map(),
    toolPins: new Map(),
    denials: [],
    privacy: noPrivacy,
    warnings: [],
  }
}

/** Keeps what was added, by topic; what a rolled-back transaction added is kept too. */
export class RecordingOutbox implements Outbox {
  readonly sent: { readonly topic: string; readonly message: BusMessage }[] = []

  add(_tx: unknown, topic: string, messages: readonly BusMessage[]): Promise<void> {
    this.sent.push(...messages.map((message) => ({ topic, message })))
    return Promise.resolve()
  }
  async addAll(tx: unknown, batches: readonly TopicBatch[]): Promise<void> {
    for (const { topic, messages } of batches) await this.add(tx, topic, messages)
  }
  relay(): Promise<void> {
    return Promise.resolve()
  }
  on(topic: string): readonly BusMessage[] {
    return this.sent.filter((one) => one.topic === topic).map(({ message }) => message)
  }
}

/** A statement of a test's own. */
export function text(sql: string): Statement {
  return { name: 'test.text', text: sql }
}
