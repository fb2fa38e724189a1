import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testPostgres } from '../../test/postgres.ts'
import type { MigratableDatabase } from './database.ts'
import { loadMigrations, migrate } from './migrate.ts'
import { PgliteDatabase } from './pglite/pglite-database.ts'
import { PostgresDatabase } from './postgres/postgres-database.ts'

const server = await testPostgres()

suite('embedded', () => PgliteDatabase.inMemory())
if (server !== null) suite('on a server', async () => PostgresDatabase.open({ url: await server.newDatabase('empty') }))

function suite(name: string, open: () => Promise<MigratableDatabase>): void {
  describe(`a database of before partitions, ${name}`, () => {
    let db: MigratableDatabase
    let before: Counts
    beforeAll(async () => {
      db = await open()
      await migrate(db, loadMigrations().slice(0, 12))
      await db.transaction((tx) => tx.script(oldRows))
      before = await counts()
      await migrate(db)
    })
    afterAll(() => db.close())
    const query = async <Row>(text: string) => (await db.query<Row>({ name: '', text })).rows
    const counts = async () => (await query<Counts>(countsSql))[0]

    it('keeps every row and its content', async () => {
      expect(before).toMatchObject({ steps: 1200, audit: 600, events: 200 })
      expect(await counts()).toEqual(before)
    })

    it('has them in their parts, and only what is too old for one in the rest', async () => {
      expect(await query(`SELECT count(*) FROM guild_core.run_steps_rest`)).toEqual([{ count: 6 }])
      const misplaced = `SELECT count(*) FROM guild_core.run_steps s JOIN guild_core.invocations i ON i.id = s.invocation_id WHERE s.run_at <> i.made_at`
      expect(await query(misplaced)).toEqual([{ count: 0 }])
      const parts = await query<{ parent: string }>('SELECT * FROM guild_core.parts WHERE from_at IS NOT NULL')
      expect(new Set(parts.map(({ parent }) => parent))).toEqual(
        new Set(['guild_core.run_steps', 'guild_audit.audit_log', 'guild_core.events']),
      )
    })

    it('has parts for now and for what comes, as often as they are made', async () => {
      const ahead = `SELECT count(*) FROM guild_core.parts WHERE parent = 'guild_core.run_steps' AND to_at > now()`
      expect(await query(ahead)).toEqual([{ count: 3 }])
      const make = `SELECT guild_core.make_parts('guild_core.run_steps', 3, now()) AS made`
      expect(await query(make)).toEqual([{ made: 1 }])
      expect(await query(make)).toEqual([{ made: 0 }])
    })

    it('has no statistics of jsonb, also in new parts', async () => {
      await query(`SELECT guild_core.make_part('guild_core.events', '2098-07-01')`)
      const measured = await query(`SELECT a.attrelid::regclass::text AS table, a.attname
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname LIKE 'guild%' AND c.relkind IN ('r', 'p') AND a.atttypid = 'jsonb'::regtype AND NOT a.attisdropped
          AND a.attstattarget IS DISTINCT FROM 0`)
      expect(measured).toEqual([])
    })

    it('takes a row of any time, and moves it when its part is made', async () => {
      const far = `INSERT INTO guild_core.run_steps (invocation_id, run_at, seq, kind, name, status, lease_epoch)
        VALUES ('inv_far', '2099-07-01', 0, 'codex', 'c', 'DONE', 1)`
      await query(far)
      const where = `SELECT tableoid::regclass::text AS part FROM guild_core.run_steps WHERE invocation_id = 'inv_far'`
      expect(await query(where)).toEqual([{ part: 'guild_core.run_steps_rest' }])
      expect(await query(`SELECT guild_core.make_parts('guild_core.run_steps', 0, now()) AS made`)).toEqual([
        { made: 1 },
      ])
      expect(await query(where)).toEqual([{ part: 'guild_core.run_steps_20990629' }])
      await expect(query(far)).rejects.toMatchObject({ code: 'GUILD_DATABASE_REFUSED' })
    })

    it('drops a part and keeps of it what it is told to', async () => {
      const drop = `SELECT guild_core.drop_part('guild_core.run_steps', '2099-06-29T00:00:00Z', ARRAY['inv_far']) AS kept`
      expect(await query(drop)).toEqual([{ kept: 1 }])
      expect(await query(drop)).toEqual([{ kept: null }])
      const where = `SELECT tableoid::regclass::text AS part FROM guild_core.run_steps WHERE invocation_id = 'inv_far'`
      expect(await query(where)).toEqual([{ part: 'guild_core.run_steps_rest' }])
      await query(`DELETE FROM guild_core.run_steps WHERE invocation_id = 'inv_far'`)
    })

    it('reads the steps of a run in one part', async () => {
      const plan =
        await query(`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT (SELECT count(*) FROM guild_core.run_steps s
        WHERE s.invocation_id = i.id AND s.run_at = i.made_at) FROM guild_core.invocations i WHERE i.id = 'inv_7'`)
      const read = plan
        .map((row) => Object.values(row as object).join(''))
        .filter((line) => line.includes('run_steps_'))
      expect(read.filter((line) => !line.includes('never executed'))).toHaveLength(1)
    })

    it('refuses to change the trail, in every part', async () => {
      const parts = await query<{ part: string }>(
        `SELECT part FROM guild_core.parts WHERE parent = 'guild_audit.audit_log'`,
      )
      expect(parts.length).toBeGreaterThan(3)
      for (const { part } of [...parts, { part: 'guild_audit.audit_log' }])
        await expect(query(`TRUNCATE ${part}`)).rejects.toThrow('append-only')
      const filled = parts.filter(({ part }) => !/2\d{3}(12|01)01$/.test(part))
      for (const { part } of filled) {
        if ((await query(`SELECT 1 FROM ${part} LIMIT 1`)).length === 0) continue
        await expect(query(`DELETE FROM ${part}`)).rejects.toThrow('append-only')
        await expect(query(`UPDATE ${part} SET actor = actor`)).rejects.toThrow('append-only')
      }
    })
  })
}

type Counts = Readonly<Record<string, unknown>> | undefined

const countsSql = `
SELECT (SELECT count(*) FROM guild_core.run_steps) AS steps, (SELECT count(*) FROM guild_core.events) AS events,
  (SELECT count(*) FROM guild_audit.audit_log) AS audit,
  (SELECT md5(string_agg(s.invocation_id || s.seq || s.attempt || s.name || s.request, ',' ORDER BY s.invocation_id, s.seq)) FROM guild_core.run_steps s) AS step_content,
  (SELECT md5(string_agg(e.id || e.trace_id || e.received_at || e.dedup_key || e.decided_at, ',' ORDER BY e.id)) FROM guild_core.events e) AS event_content,
  (SELECT md5(string_agg(a.seq || a.id || a.timestamp || a.hash, ',' ORDER BY a.seq)) FROM guild_audit.audit_log a) AS audit_content`

/** Runs of the last 590 days, one every other day with six steps; the trail of the same time, one row a day. */
const oldRows = `
INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload,
  metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
SELECT 'evt_' || n, 'T', 's', 's', 'NORMAL', 't' || n, 'k', 'x', 'a', 'd' || n, '{}', '{}', now(), now() - n * interval '2 days', 'r', 0,
  'ROUTED', '', 'c'
FROM generate_series(0, 199) n;
INSERT INTO guild_core.invocations (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth, codex_commit,
  snapshot_hash, rule, priority, state, queued_at)
SELECT 'inv_' || n, 'a', 'A', '1', 'evt_' || n, 't', 'r', 0, 'c', 'h', 'r', 'NORMAL', 'COMPLETED',
  now() - CASE n WHEN 199 THEN 500 ELSE n * 2 END * interval '1 day'
FROM generate_series(0, 199) n;
INSERT INTO guild_core.run_steps (invocation_id, seq, attempt, kind, name, status, lease_epoch, request)
SELECT 'inv_' || n, seq, 1, 'llm', 'p/m', 'DONE', 1, jsonb_build_object('n', n)
FROM generate_series(0, 199) n, generate_series(0, 5) seq;
INSERT INTO guild_audit.audit_log (seq, id, timestamp, event_type, actor, prev_hash, hash)
SELECT n, 'aud_' || n, now() - (600 - n) * interval '1 day' + CASE n % 3 WHEN 0 THEN interval '30 hours' ELSE interval '0' END, 'EVENT_X', 'a', 'h', 'h'
FROM generate_series(1, 600) n;`
