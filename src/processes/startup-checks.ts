import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Settings } from '../config/settings.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Role } from './roles.ts'
import { roles } from './roles.ts'

/**
 * What can never work is refused before anything is opened, with the way out in the error.
 * @throws GUILD_ROLES_NEED_SERVER, GUILD_CONFIG_INVALID
 */
export function refuseNonsense(
  { databaseUrl, eventBusUrl, drainMs, drainGraceMs }: Settings,
  which: readonly Role[],
): void {
  const apart = roles.some((role) => !which.includes(role))
  if (apart && databaseUrl === undefined) throw new GuildError('GUILD_ROLES_NEED_SERVER', { roles: which.join(', ') })
  if (databaseUrl === undefined && /^rediss?:/i.test(eventBusUrl.reveal())) {
    throw new GuildError('GUILD_CONFIG_INVALID', {
      name: 'EVENT_BUS_URL',
      why: 'a bus on Redis is for several processes, and the embedded database serves one: set DATABASE_URL, or leave EVENT_BUS_URL out',
    })
  }
  if (drainGraceMs !== undefined && drainGraceMs >= drainMs) {
    throw new GuildError('GUILD_CONFIG_INVALID', {
      name: 'DRAIN_GRACE_MS',
      why: `it is part of DRAIN_MS (${drainMs}) and leaves no time to settle anything`,
    })
  }
}

export interface Deployment {
  readonly settings: Settings
  readonly roles: readonly Role[]
  readonly snapshot: Pick<CodexSnapshot, 'connectors'>
  /** of a variable that the Codex names */
  readonly variable: (name: string) => string | undefined
  /** one of several processes (`guild run`) */
  readonly apart: boolean
}

/** What may be meant so, and more often is not: a sentence for the log each. */
export function doubts({ settings, roles: which, snapshot, variable, apart }: Deployment): readonly string[] {
  const found: string[] = []
  if (which.includes('gateway') && apart && !anySecret(settings, snapshot, variable)) {
    found.push(
      'no webhook source has a secret, so every delivery is refused: set GITHUB_WEBHOOK_SECRET, or the variables that connectors/ of the Codex name',
    )
  }
  const keepsFiles = which.includes('executor') || which.includes('gateway') || which.includes('audit')
  const separate = apart && which.length < roles.length
  if (separate && keepsFiles && (settings.artifactsUrl ?? 'file:').startsWith('file:')) {
    const where = settings.artifactsUrl ?? 'artifacts/ in GUILD_HOME'
    found.push(
      `transcripts are kept in a folder (${where}) that executor, gateway and audit must share: on several hosts put it on a shared volume with ARTIFACTS_URL`,
    )
  }
  return found
}

function anySecret(
  settings: Settings,
  { connectors }: Pick<CodexSnapshot, 'connectors'>,
  variable: (name: string) => string | undefined,
): boolean {
  if (settings.githubWebhookSecrets.length > 0) return true
  return [...connectors.values()].some(({ spec }) => spec.secret !== undefined && Boolean(variable(spec.secret)))
}
