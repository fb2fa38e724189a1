import type { BusMessage, Nack, TopicBatch } from '../src/bus/bus.ts'
import type { Outbox } from '../src/bus/outbox.ts'
import { compileCondition } from '../src/codex/condition.ts'
import { agent as agentSchema } from '../src/codex/kinds.ts'
import { type CodexSnapshot, type CompiledAgent, type CompiledRule, noPrivacy } from '../src/codex/snapshot.ts'
import type { Database, Param, Queryable, Result, Statement } from '../src/database/database.ts'
import type { ActionIntake, ActionOutcome, ActionProposal, ActionReceipt } from '../src/executor/action-intake.ts'
import type { ExecutorDeps, ExecutorOptions } from '../src/executor/executor-deps.ts'
import { executor } from '../src/executor/executor.ts'
import { ProviderHealth } from '../src/executor/provider-health.ts'
import { systemClock } from '../src/kernel/clock.ts'
import type { Integrity } from '../src/kernel/event.ts'
import { hashId } from '../src/kernel/ids.ts'
import type { JsonObject } from '../src/kernel/json.ts'
import { silentLog } from '../src/kernel/log.ts'
import { agentTopic } from '../src/kernel/topics.ts'
import { LearnedRatios } from '../src/ledger/learned-bound.ts'
import { budgetLimits } from '../src/ledger/limits.ts'
import { postgresLedger } from '../src/ledger/postgres-ledger.ts'
import type { ModelChoice } from '../src/llm/llm.ts'
import { routedLlm } from '../src/llm/router.ts'
import { rulesLlm } from '../src/llm/rules/rules-llm.ts'
import type { ToolDescription, ToolResult, Tools } from '../src/tools/tools.ts'
import { ScriptedLlm, type Script } from './scripted-llm.ts'

const price = {
  version: 'test-1',
  inputPerMillion: 1_000_000,
  outputPerMillion: 2_000_000,
  cacheReadPerMillion: 100_000,
  cacheWritePerMillion: 1_000_000,
}
const noLlm: Script = () => {
  throw new Error('no model was to be asked')
}

export type ReadAnswer = Partial<ToolResult> | (() => Partial<ToolResult> | Promise<Partial<ToolResult>>)
export interface BenchSetup {
  /** `spec` of the manifest */
  readonly spec?: JsonObject
  readonly rules?: readonly CompiledRule[]
  readonly files?: Readonly<Record<string, string>>
  readonly script?: Script
  /** aliases that are configured, beside `rules`; default `a/one`, `b/two` */
  readonly models?: readonly string[]
  readonly unpriced?: boolean
  readonly reads?: Readonly<Record<string, ReadAnswer>>
  readonly actor?: Integrity
  readonly payload?: JsonObject
  readonly receipt?: (proposal: ActionProposal) => ActionReceipt | null
  readonly policies?: CodexSnapshot['policies']
  readonly options?: ExecutorOptions
  readonly output?: object
}

/** One agent, one event, one QUEUED invocation, on a real database, ledger and rules; the model, the tools and the intake are written by the test. */
export class Bench {
  readonly db: Database
  readonly llm: ScriptedLlm
  readonly setup: BenchSetup
  readonly agent: CompiledAgent
  readonly snapshot: CodexSnapshot
  readonly id: string
  readonly eventId: string
  readonly messages: { readonly topic: string; readonly message: BusMessage }[] = []
  readonly artifacts = new Map<string, string>()
  readonly reads: { readonly name: string; readonly args: unknown }[] = []
  readonly proposals: ActionProposal[] = []
  /** of this bench alone: a provider that another test has seen fail is sound here */
  readonly health: ProviderHealth
  readonly family: string
  #attempt = 0

  constructor(db: Database, setup: BenchSetup, serial: number) {
    this.family = `provider-${serial}`
    this.health = new ProviderHealth({ database: db, clock: systemClock, family: this.family })
    this.db = db
    this.setup = setup
    this.llm = new ScriptedLlm(setup.script ?? noLlm)
    this.agent = compiledAgent(`sentinel-${serial}`, setup)
    this.eventId = hashId('evt', 'bench', serial)
    this.id = hashId('inv', 'bench', serial)
    this.snapshot = {
      commit: 'c'.repeat(40),
      hash: 'h',
      loadedAt: new Date(0),
      agents: new Map([[this.agent.id, this.agent]]),
      chapters: new Map(),
      people: new Map(),
      routes: [],
      policies: setup.policies ?? [],
      connectors: new Map(),
      providers: new Map(),
      rulesFiles: new Map(),
      toolPins: new Map(),
      denials: [],
      privacy: noPrivacy,
      warnings: [],
    }
  }

  /** @param number of a run in a database that outlives this process; the second time the run is found, not made */
  static async open(
    db: Database,
    setup: BenchSetup = {},
    number?: { readonly is: number; readonly made: boolean },
  ): Promise<Bench> {
    serial += 1
    const bench = new Bench(db, setup, number?.is ?? serial)
    if (!number?.made) await bench.#insert()
    return bench
  }

  deps(database: Database = this.db, more: Partial<ExecutorDeps> = {}): ExecutorDeps {
    const { setup } = this
    return {
      database,
      outbox: this.#outbox(),
      codex: { current: () => this.snapshot, at: () => Promise.resolve(this.snapshot), problems: () => null },
      llm: routedLlm({ rules: rulesLlm(), replay: null, models: this.llm }),
      health: this.health,
      models: { choose: (_, alias) => choose(alias, setup) },
      tools: this.#tools(),
      artifacts: {
        write: (path, content) => Promise.resolve(void this.artifacts.set(path, String(content))),
        read: (path) => {
          const text = this.artifacts.get(path)
          return Promise.resolve(text === undefined ? null : Buffer.from(text))
        },
        removeOlderThan: () => Promise.resolve(0),
        remove: () => Promise.resolve(),
      },
      ledger: postgresLedger,
      tokensPerByte: (provider, model) => new LearnedRatios(this.db, systemClock).tokensPerByte(provider, model),
      limitsFor: (snapshot, agent, chapter, run) => budgetLimits(snapshot, agent, chapter, `org-${this.agent.id}`, run),
      intake: this.#intake(),
      clock: systemClock,
      log: silentLog,
      owner: 'worker-1',
      random: () => 0.5,
      options: { retryBaseMs: 1, ...setup.options },
      ...more,
    }
  }

  /** One delivery of the invocation's message. @returns the nack; null: acknowledged */
  async deliver(deps: ExecutorDeps = this.deps(), signal = new AbortController().signal): Promise<Nack | null> {
    this.#attempt += 1
    const delivery = {
      id: 'm1',
      topic: agentTopic(this.agent.id),
      key: null,
      priority: 'NORMAL' as const,
      body: { invocation_id: this.id },
      attempt: this.#attempt,
      publishedAt: new Date(),
    }
    const nacks = await executor(deps).handle([delivery], signal)
    return nacks?.[0] ?? null
  }

  /** Delivers until the message is acknowledged, as the bus would; waits are made to be over. @returns how many deliveries it took */
  async finish(deps: ExecutorDeps = this.deps(), deliveriesMax = 20): Promise<number> {
    for (let count = 1; count <= deliveriesMax; count += 1) {
      await this.lapse()
      if ((await this.deliver(deps)) === null) return count
    }
    throw new Error(`not finished after ${deliveriesMax} deliveries`)
  }

  /** As if time had passed: leases have lapsed and waits are over. */
  async lapse(): Promise<void> {
    await this.db.query(statement('lapse', lapseSql), [this.id])
    await this.db.query(statement('lapseBreakers', lapseBreakersSql), [this.family])
    this.health.forget()
  }

  async row(): Promise<Record<string, unknown>> {
    const { rows } = await this.db.query(statement('row', 'SELECT * FROM guild_core.invocations WHERE id = $1'), [
      this.id,
    ])
    return rows[0] ?? {}
  }

  /** `seq kind name status` of every attempt */
  async journal(): Promise<readonly string[]> {
    const text = `SELECT seq || ' ' || kind || ' ' || name || ' ' || status AS line FROM guild_core.run_steps
      WHERE invocation_id = $1 ORDER BY seq, attempt`
    const { rows } = await this.db.query<{ line: string }>(statement('journal', text), [this.id])
    return rows.map(({ line }) => line)
  }

  async decisions(): Promise<readonly string[]> {
    const text = `SELECT outcome || ': ' || reason AS line FROM guild_core.decisions WHERE invocation_id = $1 ORDER BY id`
    const { rows } = await this.db.query<{ line: string }>(statement('decisions', text), [this.id])
    return rows.map(({ line }) => line)
  }

  async actions(): Promise<number> {
    const text = 'SELECT count(*)::integer AS n FROM guild_core.actions WHERE invocation_id = $1'
    const { rows } = await this.db.query<{ n: number }>(statement('actions', text), [this.id])
    return rows[0]?.n ?? 0
  }

  /** Open reservations, usage rows, and what the run's own budget says was consumed. */
  async ledger(): Promise<Record<string, unknown>> {
    const { rows } = await this.db.query(statement('ledger', ledgerSql), [this.id])
    return rows[0] ?? {}
  }

  async #insert(): Promise<void> {
    const { id, eventId, agent, setup } = this
    const actor = { kind: 'user', id: 'ada', display: 'Ada', integrity: setup.actor ?? 'member' }
    const metadata = {
      schema_version: 1,
      trace_id: 't'.repeat(32),
      priority: 'NORMAL',
      occurred_at: '2026-11-22T08:00:00.000Z',
      received_at: '2026-11-22T08:00:01.000Z',
      delivery_id: 'd1',
      receipt_id: 'r1',
      dedup_key: eventId,
      body_hash: null,
      subject: { kind: 'pull_request', id: 'octo/shop#12', url: null },
      actor,
      correlation_id: null,
      origin: 'webhook',
      connector: 'github',
      chapter: null,
      self: false,
      marker: null,
      causal: { root: eventId, depth: 0, parent: null },
    }
    const payload = setup.payload ?? { number: 12, title: 'Add a cart' }
    const params = [eventId, JSON.stringify(payload), JSON.stringify(metadata), id, agent.id]
    await this.db.query(statement('insert', insertSql), params)
  }

  #outbox(): Outbox {
    const add = async (tx: Queryable, topic: string, messages: readonly BusMessage[]) => {
      const text = `INSERT INTO guild_core.outbox (topic, message) SELECT $1, jsonb_array_elements($2::jsonb)`
      await tx.query(statement('outbox', text), [topic, JSON.stringify(messages)])
    }
    const addAll = async (tx: Queryable, batches: readonly TopicBatch[]) => {
      for (const { topic, messages } of batches) await add(tx, topic, messages)
    }
    return { add, addAll, relay: () => Promise.resolve() }
  }

  /** What was put into the outbox for this run and committed. */
  async published(topic: string): Promise<readonly JsonObject[]> {
    const text = `SELECT message -> 'body' AS body FROM guild_core.outbox WHERE topic = $1 AND message::text LIKE '%' || $2 || '%' ORDER BY id`
    const { rows } = await this.db.query<{ body: JsonObject }>(statement('published', text), [topic, this.id])
    return rows.map(({ body }) => body)
  }

  #tools(): Tools {
    const answers = this.setup.reads ?? {}
    const describe = (name: string): ToolDescription => ({
      name,
      description: `reads ${name}`,
      inputSchema: { type: 'object' },
      annotations: { readOnlyHint: !name.includes('write') },
      builtin: true,
    })
    return {
      open: () => ({
        list: (connector) =>
          Promise.resolve(
            Object.keys(answers)
              .filter((name) => name.startsWith(`${connector}.`))
              .map(describe),
          ),
        call: async (name, args) => {
          this.reads.push({ name, args })
          const answer = answers[name]
          const result = typeof answer === 'function' ? await answer() : answer
          return { isError: false, text: '', data: null, truncated: false, integrity: 'member', ...result }
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
    }
  }

  #intake(): ActionIntake {
    return {
      describe: (type) =>
        type.startsWith('UNKNOWN') ? null : { description: `does ${type}`, inputSchema: { type: 'object' } },
      propose: async (tx, proposal) => {
        this.proposals.push(proposal)
        const given = this.setup.receipt?.(proposal)
        if (given) return given
        const { actionKey, type, args, invocationId } = proposal
        await tx.query(statement('action', actionSql), [actionKey, invocationId, type, JSON.stringify(args)])
        return { status: 'queued', actionId: actionKey, reason: 'granted' }
      },
      outcomes: async (tx, ids) => {
        const { rows } = await tx.query<Omit<ActionOutcome, 'over'>>(statement('outcomes', outcomesSql), [ids])
        return rows.map((row) => ({ ...row, over: ['SUCCEEDED', 'FAILED', 'DENIED'].includes(row.state) }))
      },
    }
  }
}

let serial = 0

export function statement(name: string, text: string): Statement {
  return { name: `bench.${name}`, text }
}

export function rule(name: string, when: string, more: Partial<CompiledRule> = {}): CompiledRule {
  return { name, when: compileCondition(when), do: [], summary: null, stop: false, ...more }
}

/** A process that dies: after so many round trips nothing reaches the database any more, not even a heartbeat. */
export class MortalDatabase implements Database {
  readonly kind = 'pglite' as const
  readonly #db: Database
  readonly #diesAt: number
  readonly #when: 'before' | 'after'
  trips = 0
  readonly statements: string[] = []

  constructor(db: Database, diesAt = Number.POSITIVE_INFINITY, when: 'before' | 'after' = 'before') {
    this.#db = db
    this.#diesAt = diesAt
    this.#when = when
  }

  get dead(): boolean {
    return this.trips >= this.#diesAt
  }

  query<Row = Record<string, unknown>>(statement: Statement, params: readonly Param[] = []): Promise<Result<Row>> {
    return this.#trip(() => {
      this.statements.push(statement.name)
      return this.#db.query<Row>(statement, params)
    })
  }

  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.#trip(() =>
      this.#db.transaction((tx) =>
        work({
          query: (statement, params) => {
            this.statements.push(statement.name)
            return tx.query(statement, params)
          },
        }),
      ),
    )
  }

  listen(): Promise<() => Promise<void>> {
    return Promise.resolve(() => Promise.resolve())
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve()
  }

  async #trip<T>(work: () => Promise<T>): Promise<T> {
    if (this.dead) throw new Error('the process is dead')
    this.trips += 1
    if (this.dead && this.#when === 'before') throw new Error('the process died before the commit')
    const result = await work()
    if (this.dead) throw new Error('the process died after the commit')
    return result
  }
}

function choose(alias: string, setup: BenchSetup): ModelChoice | { readonly unavailable: string } {
  const contextTokens = 200_000
  if (alias === 'rules')
    return { alias, provider: 'rules', model: 'rules', contextTokens, price: { ...price, inputPerMillion: 0 } }
  if (!(setup.models ?? ['a/one', 'b/two']).includes(alias)) return { unavailable: `${alias} needs a key` }
  const [provider = '', model = ''] = alias.split('/')
  return { alias, provider, model, contextTokens, price: setup.unpriced ? null : price }
}

function compiledAgent(name: string, setup: BenchSetup): CompiledAgent {
  const manifest = agentSchema.parse({
    apiVersion: 'guild/v1',
    kind: 'Agent',
    metadata: { name, type: 'Sentinel', version: '1.0.0', owner: 'team' },
    spec: { prompt: { system: 'prompts/sentinel.md' }, model: { prefer: ['a/one'] }, ...setup.spec },
  })
  const texts = [
    ...manifest.spec.context.flatMap((item) => ('tool' in item && item.when ? [item.when] : [])),
    ...manifest.spec.tools.actions.flatMap((grant) => grant.when ?? []),
  ]
  return {
    id: name,
    manifest,
    place: { file: 'agents/sentinel.yaml', line: 1 },
    system: 'You are the Sentinel.',
    output: setup.output ?? null,
    rules: setup.rules ?? [],
    files: setup.files ?? {},
    conditions: new Map(texts.map((text) => [text, compileCondition(text)])),
    unmet: [],
  }
}

const insertSql = `
WITH key AS (
  INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at) VALUES ($1, 'github', $1, now())
), event AS (
  INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload,
    metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
  VALUES ($1, 'PR_OPENED', 'github', 'github', 'NORMAL', repeat('t', 32), 'pull_request', 'octo/shop#12', 'ada', $1, $2::jsonb,
    $3::jsonb, now(), now(), $1, 0, 'ROUTED', 'test', repeat('c', 40))
  RETURNING id
)
INSERT INTO guild_core.invocations (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth, codex_commit,
  snapshot_hash, rule, priority, state)
SELECT $4, $5, 'Sentinel', '1.0.0', id, repeat('t', 32), id, 0, repeat('c', 40), 'h', 'routing#pr', 'NORMAL', 'QUEUED' FROM event`

const lapseSql = `
UPDATE guild_core.invocations
SET lease_until = least(lease_until, now() - interval '1 ms'), not_before = least(not_before, now() - interval '1 ms') WHERE id = $1`

const lapseBreakersSql = `
UPDATE guild_core.breakers SET retry_at = least(retry_at, now() - interval '1 ms'), next_at = least(next_at, now() - interval '1 ms')
WHERE name LIKE $1 || ':%'`

const actionSql = `
INSERT INTO guild_core.actions (id, action_key, invocation_id, agent_id, event_id, trace_id, causal_root, causal_depth, priority, type,
  connector, target_system, target, args, args_hash, autonomy, state, marker, expires_at, codex_commit)
VALUES ($1, $1, $2, 'a', 'e', 't', 'r', 0, 'NORMAL', $3, 'github', 'github', 'octo/shop#12', $4::jsonb, 'h', 2, 'READY', 'm',
  now() + interval '1 day', 'c')
ON CONFLICT (action_key) DO NOTHING`

const outcomesSql = `
SELECT id, state, reason, remote_id, remote_url FROM guild_core.actions WHERE id = ANY($1::text[]) FOR SHARE`

const ledgerSql = `
SELECT (SELECT count(*)::integer FROM guild_ledger.reservations WHERE invocation_id = $1 AND state = 'OPEN') AS open,
  (SELECT count(*)::integer FROM guild_ledger.token_usage WHERE invocation_id = $1) AS charged,
  (SELECT coalesce(sum(total_tokens), 0)::integer FROM guild_ledger.token_usage WHERE invocation_id = $1) AS tokens,
  (SELECT coalesce(sum(reserved_tokens), 0)::integer FROM guild_ledger.token_budgets WHERE entity_id = $1) AS reserved,
  (SELECT coalesce(sum(consumed_tokens), 0)::integer FROM guild_ledger.token_budgets WHERE entity_id = $1) AS consumed`
