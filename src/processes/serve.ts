import type { Settings } from '../config/settings.ts'
import type { StreamItem } from '../http/stream.ts'
import { systemClock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import { variableOf } from '../llm/directory.ts'
import { adminKeyId } from './admin-key.ts'
import { drain } from './drain.ts'
import { Guild } from './guild.ts'
import { instanceName, roleNames } from './instance.ts'
import { listen } from './listen.ts'
import { type Logger, logger } from './logger.ts'
import { announce, withdraw } from './presence.ts'
import { liveConnectors } from './connector-modes.ts'
import { processRedactor } from './own-secrets.ts'
import type { Role } from './roles.ts'
import { sealSnapshot } from './sealed-codex.ts'
import { isSealed } from './sealed-home.ts'
import { doubts, refuseNonsense } from './startup-checks.ts'

export interface ServeOptions {
  readonly settings: Settings
  readonly env: Readonly<Record<string, string | undefined>>
  readonly roles: readonly Role[]
  readonly version: string
  readonly signal: AbortSignal
  readonly onReady: (serving: Serving) => void | Promise<void>
  /** see GuildOptions */
  readonly sealed?: boolean
  readonly onDecision?: (item: StreamItem) => void
  /** one of several processes on a server (`guild run`): its port is its own or none, and so is what it leaves in GUILD_HOME */
  readonly apart?: boolean
}

/** What a server says of itself once it is ready. */
export interface Serving {
  readonly url: string
  readonly portMoved: boolean
  /** null: this process has no API, or none of its own */
  readonly signInUrl: string | null
  readonly database: string
  readonly codex: string
  readonly models: string
  readonly live: readonly string[]
  readonly guild: Guild
}

/** How long a gateway that is one of several goes on serving while it says that it is not ready. */
const graceMsApart = 2_000

/**
 * Opens, listens, drives the roles, and stops cleanly when `signal` aborts (drain.ts). Resolves after the stop.
 * @throws GUILD_DRAIN_DEADLINE when something had not settled in time: it may still be at work, so whoever called should end the process
 */
export async function serve(given: ServeOptions): Promise<void> {
  const options = await sealedOptions(given)
  const { settings, signal, apart = false } = options
  refuseNonsense(settings, options.roles)
  const instance = instanceName()
  const log = logger(settings, processRedactor({ settings, env: options.env }), undefined, {
    role: roleNames(options.roles),
    instance,
  })
  const guild = await Guild.open({ ...options, instance, startup: { waitMs: settings.startupWaitMs, signal }, log })
  const door = options.roles.includes('gateway')
  const file = apart ? instance : undefined
  const stopping = new AbortController()
  const served: { running: Promise<void> | null } = { running: null }
  try {
    const exact = apart && Boolean(options.env['PORT'])
    const port = await listen(guild.http, settings.host, settings.port, exact)
    const url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`
    await Promise.all([door ? announce(settings.home, url, new Date(), file) : null, guild.publish(url)])
    const unlisten = options.onDecision
      ? await guild.stream.listen((items) => items.forEach((item) => options.onDecision?.(item)))
      : null
    warn(guild, options, log)
    const described = await describe(guild, options, url, port)
    // Not before: after a crash the work left behind would keep the database busy, and readiness waiting.
    served.running = guild.run(options.roles, stopping.signal)
    await options.onReady(described)
    await aborted(signal)
    unlisten?.()
  } catch (error) {
    await leave(guild, options, { stopping, running: served.running, log })
    if (door) await withdraw(settings.home, file)
    throw error
  }
  const left = await leave(guild, options, { stopping, running: served.running, log })
  if (door) await withdraw(settings.home, file)
  if (left.length > 0) throw new GuildError('GUILD_DRAIN_DEADLINE', { ms: settings.drainMs, left: left.join(', ') })
}

interface Leaving {
  readonly stopping: AbortController
  readonly running: Promise<void> | null
  readonly log: Logger
}

function leave(
  guild: Guild,
  { settings, roles, apart = false, signal }: ServeOptions,
  { stopping, running, log }: Leaving,
): Promise<readonly string[]> {
  const door = roles.includes('gateway')
  const { drainMs, drainGraceMs = apart && door ? Math.min(graceMsApart, drainMs / 2) : 0 } = settings
  return drain(
    {
      leave: () => guild.readiness.leave(),
      closeHttp: () => guild.http.close(),
      stop: () => stopping.abort(),
      running,
      names: () => guild.health.running(),
      close: () => guild[Symbol.asyncDispose](),
    },
    // What fails while it starts has never been asked for anything.
    { drainMs, graceMs: signal.aborted ? drainGraceMs : 0, probesLast: !door },
    { clock: systemClock, log },
  )
}

function warn(guild: Guild, { settings, env, roles, apart = false }: ServeOptions, log: Logger): void {
  const snapshot = guild.codex.current()
  for (const doubt of doubts({ settings, roles, snapshot, variable: variableOf(env), apart })) log.warn({}, doubt)
}

/** The home of a rehearsal stays one, whatever the environment of today says. */
async function sealedOptions(given: ServeOptions): Promise<ServeOptions> {
  if (given.sealed || !(await isSealed(given.settings.home))) return given
  return { ...given, sealed: true, settings: { ...given.settings, live: [] } }
}

async function describe(
  guild: Guild,
  { settings, sealed, roles, apart = false }: ServeOptions,
  url: string,
  port: number,
): Promise<Serving> {
  const keyId = roles.includes('gateway') ? await adminKeyId(guild.keys, settings, apart) : null
  const snapshot = guild.codex.current()
  return {
    url,
    portMoved: settings.port !== 0 && port !== settings.port,
    signInUrl: keyId === null ? null : `${url}/sign-in?token=${await guild.keys.signInToken(keyId, new Date())}`,
    database: guild.database.kind === 'pglite' ? `embedded, in ${settings.home}` : 'PostgreSQL',
    codex: `${snapshot.commit.slice(0, 12)}: ${[...snapshot.agents.keys()].join(', ')}`,
    models: guild.parts.modelsConfigured(),
    live: [...liveConnectors(settings, sealed ? sealSnapshot(snapshot) : snapshot).keys()],
    guild,
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
