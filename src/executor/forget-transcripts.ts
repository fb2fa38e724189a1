import type { Artifacts } from '../artifacts/artifacts.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { durationMs } from '../kernel/duration.ts'

const sql = statements(import.meta.url, './forget-transcripts.sql', ['dueTranscripts', 'forgetTranscripts'])

const batchMax = 200
/** `retention.transcript` of a manifest that does not say. */
const defaultMs = 30 * 86_400_000

export interface ForgetTranscripts {
  readonly db: Queryable
  readonly artifacts: Pick<Artifacts, 'remove'>
  /** the serving one: what a manifest says today holds for the transcripts of before */
  readonly snapshot: Pick<CodexSnapshot, 'agents'>
  /** no transcript is kept longer, whatever a manifest says; null: no ceiling */
  readonly ceilingMs: number | null
  readonly now: Date
  readonly signal: AbortSignal
}

/**
 * Removes transcripts whose time is over: that of their agent's `retention.transcript`, or the ceiling, whichever ends first. The file
 * goes before its name, so that a crash between leaves nothing behind. @returns how many
 */
export async function forgetTranscripts(options: ForgetTranscripts): Promise<number> {
  const { db, artifacts, snapshot, now, signal } = options
  const ceiling = options.ceilingMs ?? Number.MAX_SAFE_INTEGER
  const keeps = [...snapshot.agents].map(([agent, { manifest }]) => ({
    agent,
    ms: Math.min(ceiling, durationMs(manifest.spec.retention.transcript)),
  }))
  const fallback = Math.min(ceiling, defaultMs)
  const latest = new Date(now.getTime() - Math.min(fallback, ...keeps.map(({ ms }) => ms)))
  let removed = 0
  for (let after: Cursor = { finished_at: '-infinity', id: '' }; !signal.aborted;) {
    const params = [JSON.stringify(keeps), fallback, now, latest, after.finished_at, after.id, batchMax]
    const { rows }: { rows: readonly Due[] } = await db.query<Due>(sql.dueTranscripts, params)
    const last = rows.at(-1)
    if (last === undefined) break
    after = last
    const due = rows.filter((row) => row.due)
    for (const { transcript_ref } of due) await artifacts.remove(transcript_ref)
    if (due.length > 0) await db.query(sql.forgetTranscripts, [due.map(({ id }) => id)])
    removed += due.length
  }
  return removed
}

interface Cursor {
  readonly id: string
  readonly finished_at: string
}
interface Due extends Cursor {
  readonly transcript_ref: string
  readonly due: boolean
}
