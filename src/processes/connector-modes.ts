import type { AuditEntry } from '../audit/audit.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Settings } from '../config/settings.ts'
import { hashId } from '../kernel/ids.ts'
import { liveConnector } from './connectors.ts'

/** Who says that a connector may write. */
export type LiveBy = 'GUILD_LIVE' | 'codex'

/** Every connector that writes for real. Without any file for GitHub the environment alone makes a `github`. */
export function liveConnectors(
  settings: Pick<Settings, 'live'>,
  snapshot: Pick<CodexSnapshot, 'connectors'>,
): ReadonlyMap<string, LiveBy> {
  const files = [...snapshot.connectors]
  const names = files.map(([name]) => name)
  if (!files.some(([, file]) => file.spec.system === 'github')) names.push('github')
  return new Map(
    names
      .filter((name) => liveConnector(settings, snapshot, name))
      .map((name) => {
        const system = snapshot.connectors.get(name)?.spec.system ?? name
        const named = settings.live.includes(name) || settings.live.includes(system)
        return [name, named ? 'GUILD_LIVE' : 'codex']
      }),
  )
}

/** An audit entry for each connector that has gone live since `before`, or back to shadow (architecture 6: going live is audited). */
export function modeChanges(
  before: ReadonlyMap<string, LiveBy>,
  after: ReadonlyMap<string, LiveBy>,
  commit: string,
  at: Date,
): readonly AuditEntry[] {
  const entry = (type: 'CONNECTOR_LIVE' | 'CONNECTOR_SHADOW', connector: string, by: LiveBy): AuditEntry => ({
    id: hashId('aud', type, connector, commit, at.toISOString()),
    timestamp: at.toISOString(),
    event_type: type,
    payload: { connector, by },
    result: 'SUCCESS',
    actor: by === 'codex' ? 'system:codex' : 'system:guild',
    codex_commit: commit,
  })
  return [
    ...[...after]
      .filter(([name, by]) => before.get(name) !== by)
      .map(([name, by]) => entry('CONNECTOR_LIVE', name, by)),
    ...[...before].filter(([name]) => !after.has(name)).map(([name, by]) => entry('CONNECTOR_SHADOW', name, by)),
  ]
}
