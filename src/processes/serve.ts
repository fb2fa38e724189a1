import type { Settings } from '../config/settings.ts'
import type { StreamItem } from '../http/stream.ts'
import { adminKey } from './admin-key.ts'
import { Guild } from './guild.ts'
import { listen } from './listen.ts'
import { logger } from './logger.ts'
import { announce, withdraw } from './presence.ts'
import { liveConnectors } from './connector-modes.ts'
import { processRedactor } from './own-secrets.ts'
import type { Role } from './roles.ts'
import { sealSnapshot } from './sealed-codex.ts'
import { isSealed } from './sealed-home.ts'

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
}

/** What a server says of itself once it is ready. */
export interface Serving {
  readonly url: string
  readonly portMoved: boolean
  readonly signInUrl: string
  readonly database: string
  readonly codex: string
  readonly models: string
  readonly live: readonly string[]
  readonly guild: Guild
}

const drainMs = 15_000

/**
 * Opens, listens, drives the roles, and stops cleanly when `signal` aborts: no new deliveries, what is in flight settles (15 s at most),
 * nothing is left behind. Resolves after the stop.
 */
export async function serve(given: ServeOptions): Promise<void> {
  const options = await sealedOptions(given)
  const { settings, signal } = options
  const log = logger(settings, processRedactor({ settings, env: options.env }))
  const stopping = new AbortController()
  await using guild = await Guild.open({ ...options, log })
  const port = await listen(guild.http, settings.host, settings.port)
  const url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`
  let running: Promise<void> | null = null
  try {
    await Promise.all([announce(settings.home, url, new Date()), guild.publish(url)])
    const unlisten = options.onDecision
      ? await guild.stream.listen((items) => items.forEach((item) => options.onDecision?.(item)))
      : null
    const described = await describe(guild, options, url, port)
    // Not before: after a crash the work left behind would keep the database busy, and readiness waiting.
    running = guild.run(options.roles, stopping.signal)
    await options.onReady(described)
    await aborted(signal)
    unlisten?.()
  } finally {
    await guild.http.close()
    stopping.abort()
    await Promise.race([running, deadline(drainMs)])
    await withdraw(settings.home)
  }
}

/** The home of a rehearsal stays one, whatever the environment of today says. */
async function sealedOptions(given: ServeOptions): Promise<ServeOptions> {
  if (given.sealed || !(await isSealed(given.settings.home))) return given
  return { ...given, sealed: true, settings: { ...given.settings, live: [] } }
}

async function describe(guild: Guild, { settings, sealed }: ServeOptions, url: string, port: number): Promise<Serving> {
  const now = new Date()
  const { id: keyId } = await adminKey(guild.keys, settings.home)
  const snapshot = guild.codex.current()
  return {
    url,
    portMoved: settings.port !== 0 && port !== settings.port,
    signInUrl: `${url}/sign-in?token=${await guild.keys.signInToken(keyId, now)}`,
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

async function deadline(ms: number): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, ms).unref())
}
