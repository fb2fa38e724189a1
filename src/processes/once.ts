import type { Settings } from '../config/settings.ts'
import { systemClock } from '../kernel/clock.ts'
import { topics } from '../kernel/topics.ts'
import { refreshAgents } from '../registry/registry.ts'
import { scheduleOnce } from '../scheduler/scheduler.ts'
import { Guild } from './guild.ts'
import { instanceName, roleNames } from './instance.ts'
import { type Logger, logger } from './logger.ts'
import { processRedactor } from './own-secrets.ts'
import type { PeriodicRole } from './roles.ts'

export interface OnceOptions {
  readonly settings: Settings
  readonly env: Readonly<Record<string, string | undefined>>
  readonly roles: readonly PeriodicRole[]
  readonly version: string
  readonly signal: AbortSignal
}

const auditMs = 60_000
const pollMs = 50

/**
 * What the roles do periodically, once: the scheduler fires what is due, the registry refreshes, audit writes what waits for the chain and
 * cleans up. For a cron job in the place of a process.
 * @returns figures by role
 */
export async function once(options: OnceOptions): Promise<Readonly<Record<string, object>>> {
  const { settings, env, roles, signal } = options
  const instance = instanceName()
  const log = logger(settings, processRedactor({ settings, env }), undefined, { role: roleNames(roles), instance })
  const startup = { waitMs: settings.startupWaitMs, signal }
  await using guild = await Guild.open({ ...options, instance, startup, log })
  const figures: Record<string, object> = {}
  for (const role of roles) if (!signal.aborted) figures[role] = await jobs[role](guild, log, signal)
  return figures
}

const clock = systemClock

/** @returns figures about what was done */
const jobs: Readonly<Record<PeriodicRole, (guild: Guild, log: Logger, signal: AbortSignal) => Promise<object>>> = {
  scheduler: async ({ database, outbox, codex }, log) => ({
    next: new Date(await scheduleOnce({ database, outbox, codex, clock, log })).toISOString(),
  }),
  registry: async ({ database, codex }) => {
    await database.transaction((tx) => refreshAgents(tx, clock.now()))
    return { agents: codex.current().agents.size }
  },
  audit: async (guild, _log, signal) => {
    await writeAudit(guild, signal)
    return guild.parts.cleanUp(signal)
  },
}

/** Until nothing waits for the chain, a minute at most. */
async function writeAudit(guild: Guild, signal: AbortSignal): Promise<void> {
  const stop = new AbortController()
  const running = guild.run(['audit'], stop.signal)
  const until = Date.now() + auditMs
  while (!signal.aborted && Date.now() < until) {
    const lag = (await guild.bus.lag()).find(({ topic }) => topic === topics.audit)
    if (lag && lag.ready + lag.inFlight === 0) break
    await systemClock.sleep(pollMs, signal)
  }
  stop.abort()
  await running
}
