import { auditMessage } from '../audit/audit.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { CodexProblem, CodexSnapshot } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { hashId } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import { recordInvalidSnapshot, syncRegistry } from '../registry/registry.ts'
import { type LiveBy, modeChanges } from './connector-modes.ts'

/**
 * What a new commit of the Codex changes in the database, before it serves: registry rows and audit entries, in one transaction.
 * @param live the connectors that this process writes to for real; empty where it carries out no actions
 */
export function codexChanges({
  database,
  outbox,
  log,
  live,
}: {
  readonly database: Database
  readonly outbox: Outbox
  readonly log: Log
  readonly live: (snapshot: CodexSnapshot) => ReadonlyMap<string, LiveBy>
}) {
  let known: ReadonlyMap<string, LiveBy> = new Map()
  return {
    async onChange(snapshot: CodexSnapshot): Promise<void> {
      const at = new Date()
      const now = live(snapshot)
      const modes = modeChanges(known, now, snapshot.commit, at)
      await database.transaction(async (tx) => {
        const changed = await syncRegistry(tx, snapshot, at)
        if (modes.length > 0)
          await outbox.add(
            tx,
            topics.audit,
            modes.map((entry) => auditMessage(entry)),
          )
        if (!changed) return
        const entry = {
          id: hashId('aud', 'codex', snapshot.commit, at.toISOString()),
          timestamp: at.toISOString(),
          event_type: 'CODEX_LOADED',
          payload: { hash: snapshot.hash, agents: [...snapshot.agents.keys()] },
          result: 'SUCCESS' as const,
          actor: 'system:codex',
          codex_commit: snapshot.commit,
        }
        await outbox.add(tx, topics.audit, [auditMessage(entry)])
      })
      known = now
      for (const { event_type, payload } of modes)
        log.warn({ event: event_type, ...payload }, 'connector changed its mode')
      log.info({ commit: snapshot.commit }, 'codex loaded')
    },
    async onInvalid(commit: string, problems: readonly CodexProblem[]): Promise<void> {
      const at = new Date()
      await database.transaction(async (tx) => {
        await recordInvalidSnapshot(tx, commit, problems, at)
        const entry = {
          id: hashId('aud', 'codex-invalid', commit),
          timestamp: at.toISOString(),
          event_type: 'CODEX_REFUSED',
          payload: { problems: problems.slice(0, 20).map(({ file, line, message }) => ({ file, line, message })) },
          result: 'FAILURE' as const,
          error_message: problems[0] ? `${problems[0].file}:${problems[0].line} ${problems[0].message}` : null,
          actor: 'system:codex',
          codex_commit: commit,
        }
        await outbox.add(tx, topics.audit, [auditMessage(entry)])
      })
    },
  }
}
