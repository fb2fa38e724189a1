import type { FastifyInstance } from 'fastify'
import type { Bus } from '../bus/bus.ts'
import type { Outbox } from '../bus/outbox.ts'
import { GitCodex } from '../codex/codex.ts'
import { withoutCredentials } from '../codex/git.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Settings } from '../config/settings.ts'
import type { Database } from '../database/database.ts'
import { Keys } from '../http/auth.ts'
import { metrics } from '../http/metrics.ts'
import { openHttp } from '../http/server.ts'
import { Sessions } from '../http/session.ts'
import { DecisionStream } from '../http/stream.ts'
import { systemClock } from '../kernel/clock.ts'
import type { Service } from '../kernel/service.ts'
import type { OtlpTracer } from '../traces/otlp-tracer.ts'
import { noTracer } from '../traces/tracer.ts'
import { api } from './api.ts'
import { codexChanges } from './codex-changes.ts'
import { codexUrl } from './codex-url.ts'
import { actionTypes, type Components, components } from './components.ts'
import { type LiveBy, liveConnectors } from './connector-modes.ts'
import { liveConnector } from './connectors.ts'
import { gateway } from './gateway.ts'
import { instanceName, roleNames } from './instance.ts'
import type { Logger } from './logger.ts'
import { LoopWatch } from './loop-watch.ts'
import { type OpenBus, openBus } from './open-bus.ts'
import { openCache, type OpenCache } from './open-cache.ts'
import { openDatabase } from './open-database.ts'
import { openTracer } from './open-tracer.ts'
import { Readiness } from './readiness.ts'
import { type Role, roles } from './roles.ts'
import { Health, runServices } from './run-services.ts'
import { SharedClock } from './shared-clock.ts'
import { SealedCodex, sealSnapshot } from './sealed-codex.ts'
import { takeOver } from './take-over.ts'
import { openWhenUp } from './wait-for-store.ts'

export interface GuildOptions {
  readonly settings: Settings
  readonly env: Readonly<Record<string, string | undefined>>
  readonly roles: readonly Role[]
  readonly version: string
  readonly log: Logger
  /** this process in leases, logs and metrics; default: a new name */
  readonly instance?: string
  /** how long stores that are not up yet are waited for; default: not at all */
  readonly startup?: { readonly waitMs: number; readonly signal: AbortSignal }
  /** a rehearsal: connectors of the Codex reach only what the settings name */
  readonly sealed?: boolean
}

/** Everything a process needs, opened in order; `run` drives the roles until told to stop. The one place that knows all adapters. */
export class Guild implements AsyncDisposable {
  readonly database: Database
  readonly bus: Bus
  readonly cached: OpenCache
  readonly outbox: Outbox
  readonly codex: GitCodex
  readonly http: FastifyInstance
  readonly keys: Keys
  readonly stream: DecisionStream
  readonly parts: Components
  /** Tells whoever finds the embedded database locked where this process listens. */
  readonly publish: (url: string) => Promise<void>
  readonly #line: OpenBus
  readonly #log: Logger
  readonly #exporter: OtlpTracer | null
  readonly #loop: LoopWatch
  readonly #clock: SharedClock
  readonly readiness: Readiness
  readonly health: Health

  private constructor(
    parts: Pick<
      Guild,
      'database' | 'cached' | 'codex' | 'http' | 'keys' | 'stream' | 'parts' | 'publish' | 'readiness' | 'health'
    >,
    line: OpenBus,
    log: Logger,
    exporter: OtlpTracer | null,
    loop: LoopWatch,
    clock: SharedClock,
  ) {
    this.database = parts.database
    this.bus = line.bus
    this.outbox = line.outbox
    this.#line = line
    this.cached = parts.cached
    this.codex = parts.codex
    this.http = parts.http
    this.keys = parts.keys
    this.stream = parts.stream
    this.parts = parts.parts
    this.publish = parts.publish
    this.readiness = parts.readiness
    this.health = parts.health
    this.#log = log
    this.#exporter = exporter
    this.#loop = loop
    this.#clock = clock
  }

  static async open(options: GuildOptions): Promise<Guild> {
    await using opening = new AsyncDisposableStack()
    const { settings, log } = options
    // The database starts in a thread of its own: meanwhile the Codex is read here.
    const changes = Promise.withResolvers<ReturnType<typeof codexChanges>>()
    changes.promise.catch(() => undefined) // whoever waits for it is told; nobody may be waiting yet
    const reading = openCodex(options, changes.promise)
    const { startup = { waitMs: 0 } } = options
    const store = openWhenUp('database', () => openDatabase(settings), { ...startup, log })
    const opened = opening.use(await opensFirst(store, reading, changes.reject))
    const database = opened.db
    await succeedTheDead(database, options)
    const line = opening.use(await openBus(settings, database, systemClock, log))
    // A rehearsal leaves no trace where the real one counts.
    const cached = opening.use(await openCache(options.sealed ? {} : settings, database, systemClock, log))
    const { bus, outbox } = line
    changes.resolve(codexChanges({ database, outbox, log, live: (snapshot) => writesTo(options, snapshot) }))
    const codex = await reading
    const seen = options.sealed ? new SealedCodex(codex) : codex
    const keys = new Keys(database, outbox)
    const stream = new DecisionStream(database, log)
    const owner = options.instance ?? instanceName()
    const loop = opening.use(new LoopWatch())
    const health = new Health()
    const readiness = new Readiness({ database, health, loop, log, ...livesFrom(line, options.roles) })
    const exporter = openTracer(settings, { version: options.version, instance: owner, log })
    const tracer = exporter ?? noTracer
    const clock = opening.use(await SharedClock.open(database, log))
    const measured = metrics({
      database,
      bus,
      spans: exporter,
      about: { version: options.version, role: roleNames(options.roles), instance: owner },
    })
    const shared = { ...options, ...line, ...cached, ...measured, database, codex: seen }
    const parts = components({ ...shared, owner, clock, tracer })
    const http = await openHttp({
      api: api({ database, bus, outbox, codex: seen, organisation: settings.organisation, parts }),
      keys,
      sessions: new Sessions(cached.cache),
      status: {
        database,
        bus,
        codex,
        about: aboutOf(options, database, line),
        examineBus: () => line.examine(),
        isLive: (name) => liveConnector(settings, seen.current(), name),
      },
      stream,
      metrics: measured,
      gateway: options.roles.includes('gateway')
        ? gateway({ settings, env: options.env, bus, codex: seen, log, metrics: measured, tracer })
        : null,
      // Commands without a server have no role, and use the API in their own process.
      probesOnly: options.roles.length > 0 && !options.roles.includes('gateway'),
      unready: () => readiness.reasons(),
      version: options.version,
      log,
    })
    opening.defer(() => http.close())
    const { publish } = opened
    opening.move()
    const made = { database, cached, codex, http, keys, stream, parts, publish, readiness, health }
    return new Guild(made, line, log, exporter, loop, clock)
  }

  /** Drives the services of these roles; resolves when `signal` has aborted and all have settled. */
  async run(which: readonly Role[], signal: AbortSignal): Promise<void> {
    const services: Service[] = [this.codex, ...which.flatMap((role) => this.parts.services[role] ?? [])]
    if (which.some((role) => role !== 'gateway'))
      services.push({ name: 'outbox', run: (stop) => this.outbox.relay(stop) }, ...this.#line.services)
    await runServices(services, signal, this.#log, this.health)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#loop[Symbol.dispose]()
    await this.#clock[Symbol.asyncDispose]()
    await this.http.close()
    await this.#line[Symbol.asyncDispose]()
    await this.cached[Symbol.asyncDispose]()
    await this.database.close()
    await this.#exporter?.close()
  }
}

/** Nobody else can be at work on an embedded database, so nothing need wait for a lease; a command without roles takes over nothing. */
async function succeedTheDead(database: Database, { roles: which, log }: GuildOptions): Promise<void> {
  if (database.kind !== 'pglite' || which.length === 0) return
  const leases = await takeOver(database)
  if (leases > 0) log.info({ leases }, 'took over from a process that died')
}

/** Deliveries are stored in the database: a gateway that gave up with Redis would lose what it could have taken. */
function livesFrom(line: OpenBus, which: readonly Role[]): { readonly bus?: () => readonly string[] } {
  return which.includes('gateway') ? {} : { bus: () => line.unready() }
}

/** Reads and validates at once; what a snapshot changes in the database waits until there is one. */
function openCodex(
  { settings, log }: GuildOptions,
  changes: Promise<ReturnType<typeof codexChanges>>,
): Promise<GitCodex> {
  return GitCodex.open({
    url: codexUrl(settings),
    home: settings.home,
    refreshMs: settings.codexRefreshMs,
    log,
    clock: systemClock,
    actionTypes,
    onChange: async (snapshot) => (await changes).onChange(snapshot),
    onInvalid: async (commit, problems) => (await changes).onInvalid(commit, problems),
  })
}

/** Only the role that carries out actions writes: elsewhere nothing goes live. */
function writesTo({ settings, sealed, roles: which }: GuildOptions, snapshot: CodexSnapshot) {
  if (!which.includes('actions')) return new Map<string, LiveBy>()
  return liveConnectors(settings, sealed ? sealSnapshot(snapshot) : snapshot)
}

/** Two things are under way: when the first fails, the second is told and its own failure, which follows, is not a second error. */
async function opensFirst<T>(first: Promise<T>, second: Promise<unknown>, tell: (error: unknown) => void): Promise<T> {
  second.catch(() => undefined) // awaited by the caller once the first is there
  try {
    return await first
  } catch (error) {
    tell(error)
    throw error
  }
}

function aboutOf({ settings, roles: which, version }: GuildOptions, database: Database, { shown: bus }: OpenBus) {
  return {
    version,
    since: new Date().toISOString(),
    roles: which.length === roles.length ? ['all'] : which,
    database: database.kind === 'pglite' ? `embedded, in ${settings.home}` : 'PostgreSQL',
    bus,
    // It may be https://user:token@host/…, and everybody with a key reads the status.
    codexUrl: withoutCredentials(codexUrl(settings)),
  }
}
