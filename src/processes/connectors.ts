import type { Connectors } from '../gateway/routes.ts'
import type { ConnectorConfig } from '../gateway/source.ts'
import { chapterOf } from '../codex/chapter.ts'
import type { ConnectorFile } from '../codex/kinds.ts'
import type { Codex, CodexSnapshot } from '../codex/snapshot.ts'
import type { Settings } from '../config/settings.ts'
import { Secret } from '../kernel/secret.ts'

/** Webhook connectors of the serving Codex; without a file for a system its settings from the environment stand alone. */
export function webhookConnectors(
  settings: Settings,
  variable: (name: string) => string | undefined,
  codex: Codex,
): Connectors {
  return {
    resolve(source, name) {
      const snapshot = codex.current()
      if (source !== 'github') return null
      const file = snapshot.connectors.get(name ?? source)
      if (file ? file.spec.system !== source : name !== undefined && name !== source) return null
      return configOf(settings, variable, snapshot, name ?? source, file)
    },
  }
}

function configOf(
  settings: Settings,
  variable: (name: string) => string | undefined,
  snapshot: CodexSnapshot,
  name: string,
  file: ConnectorFile | undefined,
): ConnectorConfig {
  const setting = file?.spec.secret
  const own =
    setting && setting !== 'GITHUB_WEBHOOK_SECRET' ? secretsOf(variable(setting)) : settings.githubWebhookSecrets
  return {
    name,
    chapter: (repository) => chapterOf(snapshot, { connector: name, repository }),
    secrets: own,
    botLogins: botLogins(settings, snapshot, name),
    ...(setting && { secretSetting: setting }),
  }
}

export function botLogins(settings: Settings, snapshot: CodexSnapshot, name: string): readonly string[] {
  return [
    ...(snapshot.connectors.get(name)?.spec.botLogins ?? []),
    ...(settings.githubBotLogin ? [settings.githubBotLogin] : []),
  ]
}

/** A connector writes only when GUILD_LIVE names it or its system, or its file says `mode: live`. */
export function liveConnector(
  settings: Pick<Settings, 'live'>,
  snapshot: Pick<CodexSnapshot, 'connectors'>,
  name: string,
): boolean {
  const file = snapshot.connectors.get(name)
  return (
    settings.live.includes(name) ||
    (file !== undefined && (settings.live.includes(file.spec.system) || file.spec.mode === 'live'))
  )
}

function secretsOf(text: string | undefined): readonly Secret[] {
  return (text ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter(Boolean)
    .map((one) => new Secret(one))
}
