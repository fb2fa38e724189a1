import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Desk } from '../src/actions/desk.ts'
import { Echoes } from '../src/actions/echo.ts'
import { actionExecutor } from '../src/actions/execute.ts'
import type { Target } from '../src/actions/target.ts'
import { githubActionTypes } from '../src/actions/targets/github.ts'
import { FileArtifacts } from '../src/artifacts/file.ts'
import { auditWriter } from '../src/audit/writer.ts'
import type { Consumer } from '../src/bus/bus.ts'
import { PostgresCache } from '../src/cache/postgres/postgres-cache.ts'
import { PostgresBus } from '../src/bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../src/bus/postgres/postgres-outbox.ts'
import { compileCondition } from '../src/codex/condition.ts'
import { connector } from '../src/codex/kind-connector.ts'
import { agent as agentSchema } from '../src/codex/kinds.ts'
import { type Codex, type CodexSnapshot, type CompiledAgent, noPrivacy } from '../src/codex/snapshot.ts'
import type { Database } from '../src/database/database.ts'
import { GatheredDatabase } from '../src/database/gathered-database.ts'
import { dispatcher } from '../src/dispatcher/dispatcher.ts'
import { executor } from '../src/executor/executor.ts'
import { ProviderHealth } from '../src/executor/provider-health.ts'
import { systemClock } from '../src/kernel/clock.ts'
import type { JsonObject } from '../src/kernel/json.ts'
import { silentLog } from '../src/kernel/log.ts'
import { topics } from '../src/kernel/topics.ts'
import { LearnedRatios } from '../src/ledger/learned-bound.ts'
import { budgetLimits } from '../src/ledger/limits.ts'
import { postgresLedger } from '../src/ledger/postgres-ledger.ts'
import { routedLlm } from '../src/llm/router.ts'
import { rulesLlm } from '../src/llm/rules/rules-llm.ts'
import { headroom } from '../src/processes/headroom.ts'
import type { Tools } from '../src/tools/tools.ts'
import { anEvent, aRoute } from '../test/dispatch.ts'
import { ScriptedLlm } from '../test/scripted-llm.ts'

/** `model`: two paid calls of a scripted model; `rules`: the manifest's rules decide, nothing is reserved. Both: one read, one action. */
export type Workload = 'model' | 'rules'

export interface Flow {
  readonly seconds: number
  /** ms from the publish of an event to the commit of the last audit row that it caused, in no order */
  readonly latencies: readonly number[]
}

const agentsCount = 20
const publishBatch = 100
const stalledMs = 120_000

/** The components of `guild up` between the inbound topic and the audit trail, over one database. */
export class LineUnderTest {
  readonly #bus: PostgresBus
  readonly #stop = new AbortController()
  readonly #running: Promise<void>[] = []
  readonly #published = new Map<string, number>()
  readonly #latencies: number[] = []
  readonly #missing = new Map<string, number>()
  #sent = 0
  #all = Promise.withResolvers<void>()

  static async start(database: Database, setup: { readonly workload: Workload; readonly folder: string }) {
    const bus = new PostgresBus({ database, clock: systemClock, log: silentLog })
    const line = new LineUnderTest(bus)
    const consumers = parts(database, bus, setup)
    for (const { subscription } of consumers) await bus.ensureGroup(subscription)
    for (const { subscription, handle } of consumers) {
      const told: Consumer['handle'] =
        subscription.topic === topics.audit
          ? async (batch, signal) => {
              const nacks = await handle(batch, signal)
              line.#appended(batch.map(({ body }) => body))
              return nacks
            }
          : handle
      line.#running.push(bus.consume(subscription, told, line.#stop.signal))
    }
    return line
  }

  private constructor(bus: PostgresBus) {
    this.#bus = bus
  }

  /** @param perSecond null: all at once, in batches */
  async flow({ events, perSecond }: { readonly events: number; readonly perSecond: number | null }): Promise<Flow> {
    this.#all = Promise.withResolvers()
    this.#latencies.length = 0
    const began = performance.now()
    const batch = perSecond === null ? publishBatch : 1
    for (let n = 0; n < events; n += batch) {
      if (perSecond !== null) await delay(Math.max(0, began + (n * 1000) / perSecond - performance.now()))
      await this.#publish(Math.min(batch, events - n), n + batch >= events)
    }
    const stalled = setTimeout(
      () => this.#all.reject(new Error(`${this.#missing.size} events have not come through`)),
      stalledMs,
    )
    await this.#all.promise
    clearTimeout(stalled)
    return { seconds: (performance.now() - began) / 1000, latencies: [...this.#latencies] }
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#running)
    await this.#bus.close()
  }

  #lastIsOut = false

  async #publish(count: number, last: boolean): Promise<void> {
    this.#lastIsOut = last
    const made = Array.from({ length: count }, () => {
      this.#sent += 1
      const number = this.#sent
      const subject = {
        kind: 'pull_request',
        id: `octo/shop#${number}`,
        url: `https://github.com/octo/shop/pull/${number}`,
      }
      return anEvent({
        type: `BENCH_${number % agentsCount}`,
        payload: { number, title: 'Add a cart', author: { login: 'ada' }, text: 'x'.repeat(1000) },
        metadata: { subject, occurred_at: new Date().toISOString(), received_at: new Date().toISOString() },
      })
    })
    for (const { id } of made) {
      this.#published.set(id, performance.now())
      this.#missing.set(id, 2)
    }
    await this.#bus.publish(
      topics.inbound,
      made.map((event) => ({ id: event.id, priority: event.metadata.priority, body: event })),
    )
  }

  /** The end of the run and the confirmed action: with these two the trail of an event is whole. */
  #appended(bodies: readonly unknown[]): void {
    for (const body of bodies as readonly { readonly event_type: string; readonly source_event_id: string }[]) {
      if (body.event_type !== 'AGENT_INVOCATION' && body.event_type !== 'ACTION_EXECUTED') continue
      const id = body.source_event_id
      const left = (this.#missing.get(id) ?? 0) - 1
      if (left > 0) this.#missing.set(id, left)
      else if (this.#missing.delete(id)) this.#latencies.push(performance.now() - (this.#published.get(id) ?? 0))
    }
    if (this.#lastIsOut && this.#missing.size === 0) this.#all.resolve()
  }
}

/** 6 KB of diff, as a reviewer of pull requests reads it; with a key and an address for the guards to find. */
const diff = Array.from(
  { length: 90 },
  (_, line) => `+  const total${line} = cart.items.reduce((sum, item) => sum + item.price * item.count, 0)`,
).join('\n')
const text = `${diff}\n+ // ask ada@example.com about AKIAIOSFODNN7EXAMPLE`

const price = {
  version: 'bench-1',
  inputPerMillion: 1_000_000,
  outputPerMillion: 2_000_000,
  cacheReadPerMillion: 100_000,
  cacheWritePerMillion: 1_000_000,
}

function parts(
  database: Database,
  bus: PostgresBus,
  { workload, folder }: { readonly workload: Workload; readonly folder: string },
): readonly Consumer[] {
  const clock = systemClock
  const log = silentLog
  const outbox = new PostgresOutbox(bus)
  const snapshot = aSnapshotFor(workload)
  const codex: Codex = { current: () => snapshot, at: () => Promise.resolve(snapshot), problems: () => null }
  const live = ['github']
  const owner = 'bench'
  const desk = new Desk({ systems: [{ system: 'github', types: githubActionTypes }], outbox, live })
  const target = instantTarget()
  const ratios = new LearnedRatios(database, clock)
  const script = new ScriptedLlm(({ messages }) => {
    const said = messages.at(-1)
    if (said?.role === 'tool') return { text: 'Done: one comment.' }
    const args = commentOn(/"number":\s*(\d+)/.exec(JSON.stringify(messages).replaceAll('\\', ''))?.[1] ?? '0')
    return { text: 'I say so.', toolCalls: [{ id: 'a', name: 'GITHUB_COMMENT', args }] }
  })
  const llm = routedLlm({
    rules: rulesLlm(),
    replay: null,
    models: {
      call: (request, options) => {
        script.requests.length = 0
        return script.call(request, options)
      },
    },
  })
  return [
    dispatcher({
      database,
      outbox,
      codex,
      clock,
      log,
      echoes: new Echoes({ outbox, clock, botLogins: () => [] }),
      headroom: headroom({ organisation: 'acme', clock }),
    }),
    executor({
      database: new GatheredDatabase(database, { lanes: 2 }),
      outbox,
      codex,
      llm,
      models: {
        choose: (_, alias) =>
          alias === 'rules'
            ? { alias, provider: 'rules', model: 'rules', contextTokens: 200_000, price: null }
            : { alias, provider: 'a', model: 'one', contextTokens: 200_000, price },
      },
      health: new ProviderHealth({ database, clock }),
      tools: instantTools(),
      artifacts: new FileArtifacts(join(folder, 'artifacts')),
      ledger: postgresLedger,
      tokensPerByte: (provider, model) => ratios.tokensPerByte(provider, model),
      limitsFor: (_, agent, chapter, run) => budgetLimits(snapshot, agent, chapter, 'acme', run),
      intake: desk,
      clock,
      log,
      owner,
      random: Math.random,
    }),
    actionExecutor({
      db: new GatheredDatabase(database),
      cache: new PostgresCache({ database, clock, log }),
      outbox,
      codex,
      targetOf: () => target,
      live,
      owner,
      clock,
      log,
    }).consumer,
    auditWriter({ db: database, log }),
  ]
}

function commentOn(number: string): JsonObject {
  return { repo: 'octo/shop', number: Number(number), body: `Looks good to me, reader ${number}.` }
}

function aSnapshotFor(workload: Workload): CodexSnapshot {
  const agents = Array.from({ length: agentsCount }, (_, n) => anAgent(`reviewer-${n}`, workload))
  const spec = { system: 'github', mode: 'live' }
  const github = connector.parse({ apiVersion: 'guild/v1', kind: 'Connector', metadata: { name: 'github' }, spec })
  return {
    commit: 'c'.repeat(40),
    hash: 'h',
    loadedAt: new Date(0),
    agents: new Map(agents.map((agent) => [agent.id, agent])),
    chapters: new Map(),
    people: new Map(),
    routes: agents.map(({ id }, n) => aRoute(`to-${id}`, `BENCH_${n}`, [id])),
    policies: [],
    connectors: new Map([['github', github]]),
    providers: new Map(),
    rulesFiles: new Map(),
    toolPins: new Map(),
    denials: [],
    privacy: noPrivacy,
    warnings: [],
  }
}

function anAgent(name: string, workload: Workload): CompiledAgent {
  const model =
    workload === 'rules' ? { model: { prefer: ['rules'] }, rules: 'rules/a.yaml' } : { model: { prefer: ['a/one'] } }
  const manifest = agentSchema.parse({
    apiVersion: 'guild/v1',
    kind: 'Agent',
    metadata: { name, type: 'Reviewer', version: '1.0.0', owner: 'team' },
    spec: {
      prompt: { system: 'prompts/reviewer.md' },
      context: [{ id: 'pr', tool: 'github.get_pull_request', args: { number: '{{payload.number}}' } }],
      tools: { actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 1 }] },
      ...model,
    },
  })
  const args = { repo: 'octo/shop', number: '{{payload.number}}', body: 'Looks good to me, {{payload.number}}.' }
  const act = { action: 'GITHUB_COMMENT', args }
  return {
    id: name,
    manifest,
    place: { file: `agents/${name}.yaml`, line: 1 },
    system: 'You review pull requests of the shop. Say what is wrong, and nothing else.',
    output: null,
    rules:
      workload === 'rules'
        ? [{ name: 'greet', when: compileCondition('true'), do: [act], summary: null, stop: false }]
        : [],
    files: {},
    conditions: new Map(),
    unmet: [],
  }
}

function instantTools(): Tools {
  return {
    open: () => ({
      list: () =>
        Promise.resolve([
          {
            name: 'github.get_pull_request',
            description: 'reads a pull request',
            inputSchema: { type: 'object' },
            annotations: { readOnlyHint: true },
            builtin: true,
          },
        ]),
      call: () =>
        Promise.resolve({ isError: false, text, data: { title: 'Add a cart' }, truncated: false, integrity: 'member' }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
  }
}

function instantTarget(): Target {
  return {
    system: 'github',
    types: githubActionTypes,
    probeAfterMs: [0],
    minIntervalMs: 0,
    render: ({ target, args }) =>
      Promise.resolve({ method: 'POST', url: `https://api.github.com/${target}/comments`, headers: {}, body: args }),
    execute: ({ actionId }) =>
      Promise.resolve({
        kind: 'done',
        remoteId: actionId,
        url: `https://github.com/octo/shop#${actionId}`,
        detail: {},
      }),
    probe: () => Promise.resolve({ kind: 'absent' }),
    look: () => Promise.resolve({ kind: 'nothing' }),
  }
}
