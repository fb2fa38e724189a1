import type { Artifacts } from '../artifacts/artifacts.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import type { JsonValue } from '../kernel/json.ts'

const sql = statements(import.meta.url, './transcript-file.sql', ['findTranscript'])

interface Row {
  readonly state: string
  readonly transcript_ref: string | null
  readonly finished_at: Date | null
}

/**
 * The transcript of a run as `finish` wrote it.
 * @throws GUILD_TRANSCRIPT_GONE with the reason why there is none; GUILD_NOT_FOUND when there is no such run
 */
export async function readTranscript(
  db: Queryable,
  artifacts: Pick<Artifacts, 'read'>,
  id: string,
): Promise<JsonValue> {
  const { rows } = await db.query<Row>(sql.findTranscript, [id])
  const [run] = rows
  if (!run) throw new GuildError('GUILD_NOT_FOUND', { what: 'run', id })
  const bytes = run.transcript_ref === null ? null : await artifacts.read(run.transcript_ref)
  if (bytes === null) throw new GuildError('GUILD_TRANSCRIPT_GONE', { id, why: whyGone(run) })
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as JsonValue // JSON.parse returns JSON
}

function whyGone(run: Row): string {
  if (run.finished_at === null) return `the run is ${run.state}, and its transcript is written when it ends`
  if (run.transcript_ref !== null)
    return 'its retention is over and the file was removed, or a crash came before it and it is about to be written'
  return 'the agent keeps none (retention.transcript), or its retention is over'
}
