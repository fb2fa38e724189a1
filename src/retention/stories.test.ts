import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { openTestPostgres } from '../../test/postgres.ts'
import type { Database } from '../database/database.ts'
import { makeParts } from './parts.ts'
import { dropJournals, forgetStories, removeExpired } from './stories.ts'

const postgres = await openTestPostgres()
const never = new AbortController().signal
const day = 86_400_000
const cutoff = new Date(Date.now() - 90 * day)

suite('embedded', openTestDatabase)
if (postgres !== null) suite('on a server', () => Promise.resolve(postgres))

function suite(name: string, open: () => Promise<Database>): void {
  describe(`retention, ${name}`, () => {
    let db: Database
    beforeAll(async () => {
      db = await open()
      for (const [id, days, run, action] of events) await insert(id, days, run, action)
      await query(`INSERT INTO guild_core.receipts (id, event_id, source, delivery_id, disposition, received_at)
        VALUES ('rcv_dead', 'evt_none', 's', 'd', 'DEAD', now() - interval '200 days')`)
      await query(
        `INSERT INTO guild_core.decisions (at, stage, outcome, reason) VALUES (now() - interval '200 days', 'dispatch', 'X', 'x')`,
      )
      await makeParts(db)
      // Decisions are kept until they are in the counts.
      await query(`UPDATE guild_core.tally_mark SET added = (SELECT max(id) FROM guild_core.decisions)`)
    })
    afterAll(() => db.close())
    const query = async <Row>(text: string, params: readonly string[] = []) =>
      (await db.query<Row>({ name: '', text }, params)).rows
    const ids = async (table: string, column = 'id') =>
      (
        await query<{ id: string }>(
          `SELECT DISTINCT ${column} AS id FROM guild_core.${table} WHERE ${column} IS NOT NULL ORDER BY 1`,
        )
      ).map(({ id }) => id.replace(/^\w+?_/, ''))
    async function insert(id: string, days: number, run: string, action: string): Promise<void> {
      for (const text of rowsOf(days, run, action)) await query(text, [id])
    }
    const parts = async () =>
      query(
        `SELECT part FROM guild_core.parts WHERE to_at <= now() - interval '90 days' AND parent <> 'guild_audit.audit_log'`,
      )

    it('takes the whole story of what is over, and nothing of what is open or young', async () => {
      expect(await parts()).not.toEqual([])
      const removed = await forgetStories(db, cutoff, never)
      expect(removed).toMatchObject({ events: 2, invocations: 2, actions: 2, approvals: 2, receipts: 5, decisions: 3 })
      const left = ['open', 'unsent', 'young']
      for (const table of ['event_keys', 'events', 'invocations', 'actions']) expect(await ids(table)).toEqual(left)
      expect(await ids('decisions', 'event_id')).toEqual(left)
      expect(await ids('approvals', 'action_id')).toEqual(left)
      expect(await ids('receipts', 'event_id')).toEqual(left)
    })

    it('drops the journals with the parts, and keeps those of open runs', async () => {
      await dropJournals(db, cutoff, never)
      expect(await ids('run_steps', 'invocation_id')).toEqual(['open', 'unsent', 'young'])
      expect(await parts()).toEqual([])
      const where = await query(
        `SELECT tableoid::regclass::text AS part FROM guild_core.run_steps WHERE invocation_id = 'inv_open'`,
      )
      expect(where).toEqual([{ part: 'guild_core.run_steps_rest' }])
    })

    it('takes the rest when it is over', async () => {
      await query(`UPDATE guild_core.invocations SET state = 'COMPLETED', finished_at = now() WHERE id = 'inv_open'`)
      await query(
        `UPDATE guild_core.actions SET state = 'SUCCEEDED', finished_at = now() WHERE id IN ('act_open', 'act_unsent')`,
      )
      expect(await forgetStories(db, cutoff, never)).toMatchObject({ events: 2, invocations: 2 })
      expect(await dropJournals(db, cutoff, never)).toMatchObject({ steps: 0 })
      for (const table of ['event_keys', 'events', 'invocations', 'actions'])
        expect(await ids(table)).toEqual(['young'])
      expect(await ids('run_steps', 'invocation_id')).toEqual(['young'])
    })

    it('finds nothing the second time', async () => {
      expect(Object.values(await forgetStories(db, cutoff, never)).every((count) => count === 0)).toBe(true)
      expect(await removeExpired(db, new Date(), never)).toEqual({ meanings: 0, sign_in_links: 0 })
    })
  })
}

/** id, days ago, state of the run, state of its action */
const events = [
  ['old', 200, 'COMPLETED', 'SUCCEEDED'],
  ['older', 300, 'STOPPED', 'FAILED'],
  ['open', 200, 'WAITING_APPROVAL', 'PROPOSED'],
  ['unsent', 200, 'COMPLETED', 'PARKED'],
  ['young', 30, 'COMPLETED', 'SUCCEEDED'],
] as const

function rowsOf(days: number, run: string, action: string): readonly string[] {
  const at = `now() - interval '${days} days'`
  const ended = (state: string) => (/WAITING|PROPOSED|PARKED/.test(state) ? 'NULL' : at)
  return [
    `WITH key AS (INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at) VALUES ('evt_' || $1::text, 's', $1, ${at}))
     INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload,
       metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
     VALUES ('evt_' || $1, 'T', 's', 's', 'NORMAL', 't', 'k', 'x', 'a', $1, '{}', '{}', ${at}, ${at}, 'r', 0, 'ROUTED', '', 'c')`,
    `INSERT INTO guild_core.receipts (id, event_id, duplicate_of, source, delivery_id, disposition, received_at)
     VALUES ('rcv_' || $1::text, 'evt_' || $1, NULL, 's', 'd', 'ROUTED', ${at}), ('rcv_2' || $1, 'evt_' || $1, 'evt_' || $1, 's', 'd', 'DUPLICATE', now())`,
    `INSERT INTO guild_core.invocations (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth, codex_commit,
       snapshot_hash, rule, priority, state, queued_at, made_at, finished_at)
     VALUES ('inv_' || $1::text, 'a', 'A', '1', 'evt_' || $1, 't', 'r', 0, 'c', 'h', 'r', 'NORMAL', '${run}', ${at}, ${at}, ${ended(run)})`,
    `INSERT INTO guild_core.run_steps (invocation_id, run_at, seq, kind, name, status, lease_epoch)
     SELECT id, made_at, 0, 'codex', 'c', 'DONE', 1 FROM guild_core.invocations WHERE id = 'inv_' || $1::text`,
    `INSERT INTO guild_core.actions (id, action_key, invocation_id, agent_id, event_id, trace_id, causal_root, causal_depth, priority, type,
       connector, target_system, target, args, args_hash, autonomy, state, marker, expires_at, codex_commit, finished_at)
     VALUES ('act_' || $1::text, $1, 'inv_' || $1, 'a', 'evt_' || $1, 't', 'r', 0, 'NORMAL', 'T', 'c', 'github', 'x', '{}', 'h', 2, '${action}', 'm',
       now() + interval '1 day', 'c', ${ended(action)})`,
    `INSERT INTO guild_core.approvals (id, action_id, state, args_hash, target, codex_commit, asked, expires_at)
     VALUES ('apr_' || $1::text, 'act_' || $1, 'APPROVED', 'h', 'x', 'c', 'a', now())`,
    `INSERT INTO guild_core.decisions (at, stage, outcome, event_id, reason) VALUES (${at}, 'dispatch', 'ROUTED', 'evt_' || $1::text, 'x')`,
  ]
}
