import { isAbsolute, join, resolve } from 'node:path'
import { Approvals } from '../actions/approvals.ts'
import { Desk } from '../actions/desk.ts'
import { Echoes } from '../actions/echo.ts'
import { actionExecutor } from '../actions/execute.ts'
import { Preview } from '../actions/preview.ts'
import { Undo } from '../actions/undo.ts'
import type { Target } from '../actions/target.ts'
import { githubActionTypes, GithubTarget } from '../actions/targets/github.ts'
import type { Artifacts } from '../artifacts/artifacts.ts'
import { FileArtifacts } from '../artifacts/file.ts'
import { auditWriter } from '../audit/writer.ts'
import type { Bus, Consumer } from '../bus/bus.ts'
import { driveConsumer } from '../bus/drive.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Cache } from '../cache/cache.ts'
import type { ConnectorFile } from '../codex/kinds.ts'
import type { Codex } from '../codex/snapshot.ts'
import type { Settings } from '../config/settings.ts'
import type { Database } from '../database/database.ts'
import { GatheredDatabase } from '../database/gathered-database.ts'
import { DatabaseClock } from '../database/database-clock.ts'
import { SweepLog } from '../database/sweep-log.ts'
import { dispatcher } from '../dispatcher/dispatcher.ts'
import { dispatcherSweeper } from '../dispatcher/sweeper.ts'
import { executor } from '../executor/executor.ts'
import { ProviderHealth } from '../executor/provider-health.ts'
import type { Clock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Service } from '../kernel/service.ts'
import { LearnedRatios } from '../ledger/learned-bound.ts'
import { budgetLimits } from '../ledger/limits.ts'
import { postgresLedger } from '../ledger/postgres-ledger.ts'
import { reservationSweeper } from '../ledger/reservation-sweeper.ts'
import { type ModelDirectory, modelDirectory, variableOf } from '../llm/directory.ts'
import type { Llm } from '../llm/llm.ts'
import { recordingLlm, replayLlm } from '../llm/replay/replay-llm.ts'
import { routedLlm } from '../llm/router.ts'
import { rulesLlm } from '../llm/rules/rules-llm.ts'
import { vercelLlm } from '../llm/vercel/vercel-llm.ts'
import { builtinGithub, githubAccess } from '../tools/github/builtin-github.ts'
import type { Redactor } from '../guards/privacy/redact.ts'
import type { Tracer } from '../traces/tracer.ts'
import { registryRefresher } from '../registry/registry-refresher.ts'
import { scheduler } from '../scheduler/scheduler.ts'
import { mcpTools } from '../tools/mcp/mcp-tools.ts'
import { botLogins } from './connectors.ts'
import { cacheSweeper } from './cache-sweeper.ts'
import { headroom } from './headroom.ts'
import { houseclean, housekeeping } from './housekeeping.ts'
import type { Logger } from './logger.ts'
import { readRates } from './read-rate.ts'
import { processRedactor } from './own-secrets.ts'
import type { Role } from './roles.ts'

export interface ComponentsDeps {
  readonly settings: Settings
  readonly env: Readonly<Record<string, string | undefined>>
  readonly database: Database
  readonly bus: Bus
  readonly outbox: Outbox
  readonly codex: Codex
  readonly cache: Cache
  /** calls of connectors that had to wait for their rate */
  readonly onRateWait: (connector: string, waitMs: number) => void
  /** this process, in leases */
  readonly owner: string
  /** that all processes share: leases, waits and time limits are rows */
  readonly clock: Clock
  readonly log: Logger
  readonly tracer: Tracer
}

export interface RunLimits {
  readonly agent_version: string
  readonly tokens: number
  readonly cost_micros: number
}

export interface Components {
  /** what each role runs */
  readonly services: Readonly<Partial<Record<Role, readonly Service[]>>>
  readonly desk: Desk
  readonly approvals: Approvals
  readonly undo: Undo
  readonly preview: Preview
  readonly artifacts: Artifacts
  /** What housekeeping does every hour, once. @returns what was made and removed, by kind */
  cleanUp(signal: AbortSignal): Promise<Readonly<Record<string, number>>>
  /** What a run of the agent may use, by its manifest of today; null: the Codex has no such agent. */
  runLimits(agentId: string): RunLimits | null
  /** one line for people: which aliases of the Codex have a model behind them */
  modelsConfigured(): string
}

/** All there are; a manifest that names another is refused. */
export const actionTypes: readonly string[] = githubActionTypes.map(({ type }) => type)

/** Every component, wired to its adapters. What one needs of another (echoes, the action desk) is handed over here. */
export function components(deps: ComponentsDeps): Components {
  const { settings, database, bus, outbox, codex, cache, clock, log, tracer } = deps
  const variable = variableOf(deps.env)
  const targetOf = targets(deps, variable)
  const redactor = processRedactor({ settings, env: deps.env, variable, snapshot: codex.current() })
  const systems = [{ system: 'github', types: githubActionTypes }]
  const desk = new Desk({ systems, outbox, live: settings.live, redactor })
  const echoes = new Echoes({ outbox, clock, tracer, botLogins: (name) => botLogins(settings, codex.current(), name) })
  const artifacts = artifactsOf(settings)
  const models = modelDirectory({ settings, variable, replay: settings.replayFrom !== undefined })
  const sweeps = new SweepLog(database, clock)
  // Leases and due times that several hosts compare are the database's.
  const shared = new DatabaseClock(database, clock)
  const actions = actionExecutor({
    ...deps,
    sweeps,
    db: new GatheredDatabase(database),
    targetOf,
    live: settings.live,
    redactor,
    clock: shared,
  })
  const run = executing(deps, { variable, artifacts, models, desk, redactor })
  const approvals = new Approvals({ desk, outbox, codex, clock, live: settings.live, redactor })
  const typeOf = (type: string) => desk.typeOf(type)?.type ?? null
  const house = { bus, artifacts, database, codex, keep: settings, clock, sweeps, log }
  const drive = (consumer: Consumer): Service => driveConsumer(bus, consumer, log)
  return {
    desk,
    approvals,
    undo: new Undo({ approvals, typeOf, outbox, codex, clock, live: settings.live }),
    preview: new Preview({ db: database, desk, codex, targetOf, clock, log, live: settings.live }),
    artifacts,
    services: {
      dispatcher: [
        drive(dispatching(deps, echoes)),
        dispatcherSweeper({ database, bus, outbox, clock: shared, log, sweeps }),
        shared,
      ],
      scheduler: [scheduler({ database, outbox, codex, clock, log })],
      registry: [registryRefresher({ database, clock, log })],
      executor: [drive(run), reservationSweeper({ database, clock: shared, log, sweeps }), shared],
      actions: [drive(actions.consumer), actions.sweeper, shared],
      audit: [
        drive(auditWriter({ db: database, log, tracer })),
        housekeeping(house),
        cacheSweeper({ cache, clock, log }),
      ],
    },
    cleanUp: (signal) => houseclean(house, signal),
    runLimits: (agentId) => runLimitsOf(codex, agentId),
    modelsConfigured: () => describeModels(models, codex),
  }
}

interface ExecutorParts {
  readonly variable: (name: string) => string | undefined
  readonly artifacts: Artifacts
  readonly models: ModelDirectory
  readonly desk: Desk
  readonly redactor: Redactor
}

function executing(deps: ComponentsDeps, { variable, artifacts, models, desk, redactor }: ExecutorParts): Consumer {
  const { settings, database, outbox, codex, owner, clock, log, tracer } = deps
  const ratios = new LearnedRatios(database, clock)
  const admission = readRates(deps)
  return executor({
    // Every transaction that locks several budgets locks the organisation's first: two lanes cannot wait for each other.
    database: new GatheredDatabase(database, { lanes: 2 }),
    outbox,
    codex,
    models,
    llm: llms(deps, models),
    health: new ProviderHealth({ database, clock }),
    tools: mcpTools({ builtin: { github: builtinGithub({ settings, variable, admission }) }, variable, log }),
    artifacts,
    ledger: postgresLedger,
    tokensPerByte: (provider, model) => ratios.tokensPerByte(provider, model),
    // The serving Codex, not the pinned one: a limit tightened today holds for the runs of yesterday's commit.
    limitsFor: (_pinned, agent, chapter, of) =>
      budgetLimits(codex.current(), agent, chapter, settings.organisation, of),
    intake: desk,
    redactor,
    clock,
    log,
    tracer,
    owner,
    random: Math.random,
  })
}

function dispatching({ settings, ...deps }: ComponentsDeps, echoes: Echoes): Consumer {
  const { clock } = deps
  return dispatcher({
    ...deps,
    clock,
    echoes,
    headroom: headroom({ organisation: settings.organisation, clock }),
    botLogins: settings.githubBotLogin ? [settings.githubBotLogin] : [],
  })
}

/** Rules, recordings and vendors as one. With GUILD_RECORD every vendor's answer is kept for GUILD_REPLAY. */
function llms({ settings, codex }: ComponentsDeps, models: ModelDirectory): Llm {
  const vendors = vercelLlm({ endpoint: (provider) => models.endpoint(codex.current(), provider) })
  return routedLlm({
    rules: rulesLlm(),
    replay: settings.replayFrom === undefined ? null : replayLlm(settings.replayFrom),
    models: settings.recordTo === undefined ? vendors : recordingLlm(vendors, settings.recordTo),
  })
}

/**
 * One target per connector, kept while the connector's file stays the same: a client remembers what it has learnt. Without any file the
 * environment alone makes a `github`.
 */
function targets({ settings, codex, clock }: ComponentsDeps, variable: (name: string) => string | undefined) {
  const known = new Map<string, { readonly file: ConnectorFile | undefined; readonly target: Target }>()
  return (name: string): Target | null => {
    const file = codex.current().connectors.get(name)
    if (!file && name !== 'github') return null
    const before = known.get(name)
    if (before && before.file === file) return before.target
    const access = () =>
      file
        ? githubAccess(file, { settings, variable })
        : { apiUrl: settings.githubApiUrl, token: settings.githubToken ?? null }
    const target = new GithubTarget({
      baseUrl: access().apiUrl,
      token: () => Promise.resolve(access().token),
      botLogin: botLogins(settings, codex.current(), name)[0] ?? null,
      clock,
    })
    known.set(name, { file, target })
    return target
  }
}

function artifactsOf(settings: Settings): Artifacts {
  const url = settings.artifactsUrl ?? `file:${join(settings.home, 'artifacts')}`
  if (!url.startsWith('file:')) {
    throw new GuildError('GUILD_CONFIG_INVALID', {
      name: 'ARTIFACTS_URL',
      why: 'this version keeps artifacts in a folder: write file:<folder>',
    })
  }
  const path = url.replace(/^file:(\/\/)?/, '')
  return new FileArtifacts(isAbsolute(path) ? path : resolve(path))
}

function describeModels(models: ModelDirectory, codex: Codex): string {
  const snapshot = codex.current()
  const aliases = new Set([...snapshot.agents.values()].flatMap(({ manifest }) => manifest.spec.model.prefer))
  const configured = [...aliases].filter(
    (alias) => !('unavailable' in models.choose(snapshot, alias)) && alias !== 'rules',
  )
  return configured.length > 0
    ? configured.join(', ')
    : 'none configured: agents follow their rules (set ANTHROPIC_API_KEY or OPENAI_API_KEY)'
}

function runLimitsOf(codex: Codex, agentId: string): RunLimits | null {
  const manifest = codex.current().agents.get(agentId)?.manifest
  if (!manifest) return null
  const { tokensPerInvocation: tokens, costPerInvocation } = manifest.spec.limits
  return { agent_version: manifest.metadata.version, tokens, cost_micros: Math.round(costPerInvocation * 1_000_000) }
}
