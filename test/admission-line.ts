import { randomUUID } from 'node:crypto'
import type { BusMessage, Consumer, Delivery } from '../src/bus/bus.ts'
import type { Outbox } from '../src/bus/outbox.ts'
import { compileExpression } from '../src/codex/condition.ts'
import { agent as agentSchema, policy as policySchema } from '../src/codex/kinds.ts'
import type { CodexSnapshot, CompiledAgent, CompiledRoute } from '../src/codex/snapshot.ts'
import type { Database } from '../src/database/database.ts'
import { dispatcher } from '../src/dispatcher/dispatcher.ts'
import type { EchoConfirmer } from '../src/dispatcher/echo.ts'
import { sweepInvocations } from '../src/dispatcher/sweeper.ts'
import type { ActionIntake } from '../src/executor/action-intake.ts'
import type { ExecutorDeps } from '../src/executor/executor-deps.ts'
import { executor } from '../src/executor/executor.ts'
import { ProviderHealth } from '../src/executor/provider-health.ts'
import { systemClock } from '../src/kernel/clock.ts'
import type { GuildEvent } from '../src/kernel/event.ts'
import type { JsonObject } from '../src/kernel/json.ts'
import { silentLog } from '../src/kernel/log.ts'
import { agentTopic, topics } from '../src/kernel/topics.ts'
import { budgetLimits } from '../src/ledger/limits.ts'
import { postgresLedger } from '../src/ledger/postgres-ledger.ts'
import { headroom } from '../src/processes/headroom.ts'
import { aSnapshot, text } from './dispatch.ts'
import { ScriptedLlm, type Script } from './scripted-llm.ts'

export interface LineSetup {
  readonly agents: readonly CompiledAgent[]
  readonly routes: readonly CompiledRoute[]
  readonly policies?: CodexSnapshot['policies']
  readonly script?: Script
  readonly intake?: (outbox: Outbox) => ActionIntake
  readonly echoes?: (outbox: Outbox) => EchoConfirmer
  readonly botLogins?: readonly string[]
  /** beside dispatcher and executor */
  readonly consumers?: (outbox: Outbox, codex: { current(): CodexSnapshot }) => readonly Consumer[]
}

/** In millionths of a dollar: 10 for a token of input, 20 for one of output. */
const price = {
  version: 'line-1',
  inputPerMillion: 10_000_000,
  outputPerMillion: 20_000_000,
  cacheReadPerMillion: 1_000_000,
  cacheWritePerMillion: 10_000_000,
}

/**
 * Dispatcher and executor on one real database, driven by hand: messages wait in a list until a test lets them be delivered, each at
 * least once. The model is written by the test; whatever else is on the line is given by the test too.
 */
export class AdmissionLine {
  readonly db: Database
  readonly llm: ScriptedLlm
  readonly snapshot: CodexSnapshot
  /** published and not yet delivered */
  readonly waiting: { readonly topic: string; readonly message: BusMessage }[] = []
  readonly outbox: Outbox
  readonly #consumers: readonly Consumer[]
  readonly deps: ExecutorDeps
  #deliveries = 0

  constructor(db: Database, setup: LineSetup) {
    this.db = db
    this.llm = new ScriptedLlm(setup.script ?? (() => ({ text: 'Done.' })))
    this.snapshot = { ...aSnapshot(setup.agents, setup.routes), policies: setup.policies ?? [] }
    const add = (topic: string, messages: readonly BusMessage[]) => {
      this.waiting.push(...messages.map((message) => ({ topic, message })))
      return Promise.resolve()
    }
    this.outbox = {
      add: (_tx, topic, messages) => add(topic, messages),
      addAll: async (_tx, batches) => {
        for (const { topic, messages } of batches) await add(topic, messages)
      },
      relay: () => Promise.resolve(),
    }
    const codex = { current: () => this.snapshot, at: () => Promise.resolve(this.snapshot), problems: () => null }
    this.deps = executorDeps(this, codex, setup)
    this.#consumers = [
      dispatcher({
        database: db,
        outbox: this.outbox,
        codex,
        clock: systemClock,
        log: silentLog,
        echoes: setup.echoes?.(this.outbox) ?? { confirm: () => Promise.resolve(null) },
        headroom: headroom({ organisation: 'org', clock: systemClock }),
        ...(setup.botLogins && { botLogins: setup.botLogins }),
      }),
      executor(this.deps),
      ...(setup.consumers?.(this.outbox, codex) ?? []),
    ]
  }

  publish(events: readonly GuildEvent[]): void {
    this.waiting.push(...events.map((event) => ({ topic: topics.inbound, message: { id: event.id, body: event } })))
  }

  /** Events to the dispatcher in one batch. @returns what is waiting for agents then */
  async dispatch(events: readonly GuildEvent[]): Promise<readonly BusMessage[]> {
    this.publish(events)
    await this.deliver(topics.inbound)
    return this.waiting.filter(({ topic }) => topic.startsWith(agentTopic(''))).map(({ message }) => message)
  }

  /** Delivers what waits now on a topic (or all with its beginning), in one batch per consumer. @returns how many were given back */
  async deliver(topic: string, deps: ExecutorDeps = this.deps): Promise<number> {
    const due = this.#take((one) => one.startsWith(topic))
    let returned = 0
    for (const consumer of this.#consumers) {
      const mine = due.filter((one) => fits(consumer.subscription.topic, one.topic))
      if (mine.length === 0) continue
      const batch = mine.map((one) => this.#delivery(one.topic, one.message))
      const own = consumer.subscription.group === 'executor' ? executor(deps) : consumer
      returned += (await own.handle(batch, new AbortController().signal))?.length ?? 0
    }
    return returned
  }

  /** Delivers and sweeps until nothing moves any more. @param between is awaited before each look */
  async settle(between: () => Promise<unknown> = () => Promise.resolve(), roundsMax = 200): Promise<void> {
    for (let round = 0; round < roundsMax; round += 1) {
      await between()
      await this.sweep()
      if (this.waiting.every(({ topic }) => !this.#consumers.some((one) => fits(one.subscription.topic, topic)))) return
      for (const consumer of this.#consumers) await this.deliver(consumer.subscription.topic.replace('*', ''))
    }
    throw new Error(`the line has not settled after ${roundsMax} rounds`)
  }

  sweep(): Promise<number> {
    return sweepInvocations({ database: this.db, outbox: this.outbox, clock: systemClock, log: silentLog })
  }

  async runs(): Promise<readonly Record<string, unknown>[]> {
    return (await this.db.query(text('SELECT * FROM guild_core.invocations ORDER BY queued_at, id'))).rows
  }

  async decisions(outcome: string): Promise<readonly string[]> {
    const { rows } = await this.db.query<{ reason: string }>(
      text('SELECT reason FROM guild_core.decisions WHERE outcome = $1 ORDER BY id'),
      [outcome],
    )
    return rows.map(({ reason }) => reason)
  }

  #take(which: (topic: string) => boolean) {
    const due = this.waiting.filter(({ topic }) => which(topic))
    this.waiting.splice(0, this.waiting.length, ...this.waiting.filter(({ topic }) => !which(topic)))
    return due
  }

  #delivery(topic: string, { id, priority = 'NORMAL', body }: BusMessage): Delivery {
    this.#deliveries += 1
    return { id: `${id}-${this.#deliveries}`, topic, key: null, priority, body, attempt: 1, publishedAt: new Date() }
  }
}

function fits(subscription: string, topic: string): boolean {
  return subscription.endsWith('*') ? topic.startsWith(subscription.slice(0, -1)) : topic === subscription
}

function executorDeps(line: AdmissionLine, codex: ExecutorDeps['codex'], setup: LineSetup): ExecutorDeps {
  return {
    database: line.db,
    outbox: line.outbox,
    codex,
    llm: line.llm,
    models: {
      choose: (_, alias) => ({ alias, provider: 'a', model: 'one', contextTokens: 200_000, price }),
    },
    tools: {
      open: () => ({
        list: () => Promise.resolve([]),
        call: () => Promise.reject(new Error('there are no tools')),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
    },
    artifacts: {
      write: () => Promise.resolve(),
      read: () => Promise.resolve(null),
      removeOlderThan: () => Promise.resolve(0),
      remove: () => Promise.resolve(),
    },
    ledger: postgresLedger,
    tokensPerByte: () => Promise.resolve(null),
    limitsFor: (snapshot, agent, chapter, id) => budgetLimits(snapshot, agent, chapter, 'org', id),
    intake: setup.intake?.(line.outbox) ?? {
      describe: () => null,
      outcomes: () => Promise.resolve([]),
      propose: () => Promise.resolve({ status: 'denied', actionId: null, reason: 'there are no targets' }),
    },
    // What another test has seen fail is sound here.
    health: new ProviderHealth({ database: line.db, clock: systemClock, family: randomUUID() }),
    clock: systemClock,
    log: silentLog,
    owner: 'worker-1',
    random: () => 0.5,
    options: { retryBaseMs: 1 },
  }
}

/** An agent that asks the scripted model. @param spec over the defaults of the manifest */
export function lineAgent(name: string, spec: JsonObject = {}): CompiledAgent {
  const manifest = agentSchema.parse({
    apiVersion: 'guild/v1',
    kind: 'Agent',
    metadata: { name, type: name, version: '1.0.0', owner: 'core' },
    spec: { prompt: { system: 'prompts/agent.md' }, model: { prefer: ['a/one'] }, ...spec },
  })
  const key = manifest.spec.limits.concurrency?.key
  return {
    id: name,
    manifest,
    place: { file: `agents/${name}.yaml`, line: 1 },
    system: `You are ${name}.`,
    output: null,
    rules: [],
    files: {},
    conditions: new Map(),
    slotKey: key === undefined ? null : compileExpression(key, ['event', 'payload', 'metadata']),
    unmet: [],
  }
}

export function linePolicy(spec: JsonObject): CodexSnapshot['policies'][number] {
  return policySchema.parse({ apiVersion: 'guild/v1', kind: 'Policy', metadata: { name: 'org' }, spec })
}
