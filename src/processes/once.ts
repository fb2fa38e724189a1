import type { Settings } from '../config/settings.ts'
import { systemClock } from '../kernel/clock.ts'
import { topics } from '../kernel/topics.ts'
import { Guild } from './guild.ts'
import { instanceName, roleNames } from './instance.ts'
import { logger } from './logger.ts'
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
  for (const role of roles) if (!signal.aborted) figures[role] = await guild.parts.once[role](signal)
  if (roles.includes('audit')) await writeAudit(guild, signal)
  return figures
}

/** The chain first of all lives from being written: until nothing waits for it, a minute at most. */
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
