import { type ActionExecutorDeps, ActionLanes } from '../src/actions/lanes.ts'
import { Approvals } from '../src/actions/approvals.ts'
import { Desk } from '../src/actions/desk.ts'
import type { ActionProposal } from '../src/actions/proposal.ts'
import { ActionSweeper } from '../src/actions/sweeper.ts'
import type { Target } from '../src/actions/target.ts'
import { githubActionTypes, GithubTarget } from '../src/actions/targets/github.ts'
import { type ActionDetail, getAction } from '../src/actions/views.ts'
import type { Outbox } from '../src/bus/outbox.ts'
import { connector } from '../src/codex/kind-connector.ts'
import { agent as agentSchema, type ActionGrant, policy } from '../src/codex/kinds.ts'
import { type CodexSnapshot, type CompiledAgent, type CompiledDenial, noPrivacy } from '../src/codex/snapshot.ts'
import type { Database, Statement } from '../src/database/database.ts'
import { standardRedactor } from '../src/guards/privacy/redact.ts'
import type { Clock } from '../src/kernel/clock.ts'
import type { GuildEvent } from '../src/kernel/event.ts'
import { hashId } from '../src/kernel/ids.ts'
import { silentLog } from '../src/kernel/log.ts'
import { Secret } from '../src/kernel/secret.ts'
import { testCache } from './cache.ts'
import { anEvent } from './dispatch.ts'

/** A clock that moves only when told, and at once when somebody sleeps. */
export class HandClock implements Clock {
  #now: number
  constructor(at = Date.now()) {
    this.#now = at
  }
  now(): Date {
    return new Date(this.#now)
  }
  advance(ms: number): void {
    this.#now += Math.max(0, ms)
  }
  async sleep(ms: number): Promise<void> {
    this.advance(ms)
  }
}

const put: Statement = {
  name: 'test.put',
  text: 'INSERT INTO guild_core.outbox (topic, message) VALUES ($1, $2::jsonb)',
}
const got: Statement = { name: 'test.got', text: 'SELECT topic, message FROM guild_core.outbox ORDER BY id' }

/** Rows, so that what a transaction did not commit is not sent. */
export const tableOutbox: Outbox = {
  async add(tx, topic, messages) {
    for (const message of messages) await tx.query(put, [topic, JSON.stringify(message)])
  },
  async addAll(tx, batches) {
    for (const { topic, messages } of batches) await this.add(tx, topic, messages)
  },
  async relay() {},
}

export async function sent(db: Database, topic: string): Promise<readonly Record<string, unknown>[]> {
  const { rows } = await db.query<{ topic: string; message: { body: Record<string, unknown> } }>(got)
  return rows.filter((row) => row.topic === topic).map(({ message }) => message.body)
}

const insertEvent: Statement = {
  name: 'test.event',
  text: `WITH key AS (INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at) VALUES ($1, 'github', $1, now()))
    INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload,
    metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
    VALUES ($1, $2, 'github', 'github', 'NORMAL', $3, 'pull_request', 'octo/shop#1', 'ada', $1, $4::jsonb, $5::jsonb, now(), now(), $1, 0, 'ROUTED', 'test', 'c1')`,
}
const insertInvocation: Statement = {
  name: 'test.invocation',
  text: `INSERT INTO guild_core.invocations (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth, codex_commit,
    snapshot_hash, rule, priority, state)
    VALUES ($1, $2, 'Sentinel', '1.0.0', $3, $4, $3, 0, 'c1', 'h1', 'test', 'NORMAL', 'RUNNING')`,
}

export interface CodexOverrides {
  readonly grants?: readonly Partial<ActionGrant>[]
  readonly mode?: 'shadow' | 'live'
  readonly denials?: readonly CompiledDenial[]
  readonly fourEyes?: boolean
  readonly agentId?: string
}

export function aCodex(over: CodexOverrides = {}): CodexSnapshot {
  const agentId = over.agentId ?? 'sentinel'
  const actions = (over.grants ?? [{}]).map((grant) => ({ type: 'GITHUB_COMMENT', autonomy: 2, max: 50, ...grant }))
  const manifest = agentSchema.parse({
    apiVersion: 'guild/v1',
    kind: 'Agent',
    metadata: { name: agentId, type: 'Sentinel', version: '1.0.0', owner: 'security' },
    spec: { prompt: { system: 'prompts/sentinel.md' }, tools: { actions } },
  })
  const compiled: CompiledAgent = {
    id: agentId,
    manifest,
    place: { file: `agents/${agentId}.yaml`, line: 1 },
    system: '',
    output: null,
    rules: [],
    files: {},
    conditions: new Map(),
    unmet: [],
  }
  const head = { apiVersion: 'guild/v1' }
  const spec = { system: 'github', mode: over.mode ?? 'live' }
  const approvals = { fourEyes: over.fourEyes ?? false }
  return {
    commit: 'c1',
    hash: 'h1',
    loadedAt: new Date(0),
    agents: new Map([[agentId, compiled]]),
    chapters: new Map(),
    people: new Map(),
    routes: [],
    policies: [policy.parse({ ...head, kind: 'Policy', metadata: { name: 'org' }, spec: { approvals } })],
    connectors: new Map([
      ['github', connector.parse({ ...head, kind: 'Connector', metadata: { name: 'github' }, spec })],
    ]),
    providers: new Map(),
    rulesFiles: new Map(),
    toolPins: new Map(),
    denials: over.denials ?? [],
    privacy: noPrivacy,
    warnings: [],
  }
}

export interface Proposal {
  readonly args?: unknown
  readonly type?: string
  readonly key?: string
  readonly integrity?: ActionProposal['integrity']
  readonly usedInRun?: number
}

/** Desk, approvals and workers over one database and one Codex that a test may replace. */
export class ActionBench {
  readonly db: Database
  readonly clock: HandClock
  readonly desk: Desk
  readonly approvals: Approvals
  codex: CodexSnapshot = aCodex()
  event: GuildEvent = anEvent()
  invocationId = ''
  #count = 0

  constructor(db: Database, clock = new HandClock(), redactor = standardRedactor) {
    this.db = db
    this.clock = clock
    const systems = [{ system: 'github', types: githubActionTypes }]
    this.desk = new Desk({ systems, outbox: tableOutbox, live: [], redactor })
    const codex = { current: () => this.codex }
    this.approvals = new Approvals({ desk: this.desk, outbox: tableOutbox, codex, clock, live: [] })
  }

  /** A new run of a new event, so that counts per run begin anew. */
  async newRun(codex: CodexSnapshot = aCodex()): Promise<void> {
    this.codex = codex
    const event = anEvent()
    const id = hashId('evt', event.id, process.hrtime.bigint().toString())
    this.event = { ...event, id }
    this.invocationId = hashId('inv', id)
    const { type, payload, metadata } = this.event
    await this.db.query(insertEvent, [id, type, metadata.trace_id, JSON.stringify(payload), JSON.stringify(metadata)])
    await this.db.query(insertInvocation, [this.invocationId, 'sentinel', id, metadata.trace_id])
  }

  propose(over: Proposal = {}) {
    this.#count += 1
    const agent = [...this.codex.agents.values()][0]
    if (!agent) throw new Error('the test Codex has no agent')
    const type = over.type ?? 'GITHUB_COMMENT'
    const proposal: ActionProposal = {
      invocationId: this.invocationId,
      event: this.event,
      agent,
      snapshot: this.codex,
      chapter: null,
      priority: 'NORMAL',
      causalRoot: this.event.id,
      causalDepth: 1,
      actionKey: over.key ?? hashId('act', this.invocationId, this.#count),
      type,
      args: over.args ?? { repo: 'octo/shop', number: 1, body: `words ${this.#count}` },
      grant: agent.manifest.spec.tools.actions.find((grant) => grant.type === type) ?? null,
      usedInRun: over.usedInRun ?? 0,
      integrity: over.integrity ?? 'member',
      provider: 'rules',
      model: 'rules',
      at: this.clock.now(),
    }
    return this.db.transaction((tx) => this.desk.propose(tx, proposal))
  }

  /** @returns the id of an action that was accepted */
  async accepted(over: Proposal = {}): Promise<string> {
    const receipt = await this.propose(over)
    if (!receipt.actionId) throw new Error(`not accepted: ${receipt.reason}`)
    return receipt.actionId
  }

  worker(target: Target | null, over: Partial<ActionExecutorDeps> = {}) {
    const deps: ActionExecutorDeps = {
      db: this.db,
      outbox: tableOutbox,
      codex: { current: () => this.codex },
      targetOf: () => target,
      live: [],
      owner: 'test',
      cache: testCache(this.db, this.clock),
      clock: this.clock,
      log: silentLog,
      random: () => 0.5,
      ...over,
    }
    const lanes = new ActionLanes(deps)
    const sweeper = new ActionSweeper(deps, lanes)
    const signal = new AbortController().signal
    return {
      drain: (id: string) => lanes.drain(id, signal),
      sweep: async () => {
        await sweeper.sweep(signal)
        await sweeper.settled()
      },
    }
  }

  async get(id: string): Promise<ActionDetail> {
    const action = await getAction(this.db, id)
    if (!action) throw new Error(`no action ${id}`)
    return action
  }
}

export function githubTarget(
  url: string,
  clock: Clock,
  over: Partial<ConstructorParameters<typeof GithubTarget>[0]> = {},
): GithubTarget {
  return new GithubTarget({
    token: async () => new Secret('t0p-secret'),
    baseUrl: url,
    botLogin: 'guild-bot',
    clock,
    ...over,
  })
}
