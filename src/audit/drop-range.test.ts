import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { openTestPostgres } from '../../test/postgres.ts'
import type { Database } from '../database/database.ts'
import { silentLog } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import { dropAuditRanges, rangeDropped } from './drop-range.ts'
import { verifyAudit } from './verify.ts'
import { auditWriter } from './writer.ts'

const postgres = await openTestPostgres()
const never = new AbortController().signal

suite('embedded', openTestDatabase)
if (postgres !== null) suite('on a server', () => Promise.resolve(postgres))

function suite(name: string, open: () => Promise<Database>): void {
  describe(`dropping the old of the trail, ${name}`, () => {
    let db: Database
    beforeAll(async () => {
      db = await open()
    })
    afterAll(() => db.close())
    const query = async <Row>(text: string) => (await db.query<Row>({ name: '', text })).rows
    const write = (from: number, to: number) =>
      auditWriter({ db, log: silentLog }).handle(
        Array.from({ length: to - from }, (_, n) => entry(from + n)),
        never,
      )
    /** Twelve rows: five of January, five of February, two of now. */
    beforeEach(async () => {
      await query('DROP TRIGGER no_truncate ON guild_audit.audit_log')
      await withoutTriggers(['DELETE FROM guild_audit.audit_log', 'DELETE FROM guild_audit.audit_anchors'])
      await query(`CREATE TRIGGER no_truncate BEFORE TRUNCATE ON guild_audit.audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION guild_audit.refuse_change()`)
      await write(0, 12)
      await withoutTriggers([
        `UPDATE guild_audit.audit_log SET recorded_at = '2026-01-10T00:00:00Z'::timestamptz + seq * interval '1 min' WHERE seq <= 5`,
        `UPDATE guild_audit.audit_log SET recorded_at = '2026-02-10T00:00:00Z'::timestamptz + seq * interval '1 min' WHERE seq BETWEEN 6 AND 10`,
      ])
      await query(`SELECT guild_core.make_parts('guild_audit.audit_log', 1, '-infinity')`)
    })
    async function withoutTriggers(texts: readonly string[]): Promise<void> {
      const tables = ['audit_log', 'audit_anchors']
      await db.transaction(async (tx) => {
        for (const table of tables)
          await tx.query({ name: '', text: `ALTER TABLE guild_audit.${table} DISABLE TRIGGER USER` })
        for (const text of texts) await tx.query({ name: '', text })
        for (const table of tables)
          await tx.query({ name: '', text: `ALTER TABLE guild_audit.${table} ENABLE TRIGGER USER` })
      })
    }
    const drop = (before: string) => dropAuditRanges(db, new Date(before), new Date(), never)

    it('leaves a chain that verifies from the anchor on, and says where it begins', async () => {
      const saved = (await verifyAudit(db)).head
      expect(await drop('2026-02-15')).toMatchObject([{ rows: 5 }])
      const report = await verifyAudit(db, { anchor: saved })
      expect(report).toMatchObject({ rows: 8, start: { seq: 5 }, problems: [] })
      const [told] = await query(`SELECT payload FROM guild_audit.audit_log WHERE event_type = '${rangeDropped}'`)
      expect(told).toMatchObject({ payload: { from_seq: 1, to_seq: 5, rows: 5, hash: report.start.hash } })
      await write(12, 14)
      expect((await verifyAudit(db)).problems).toEqual([])
    })

    it('goes on from anchor to anchor, and does nothing twice', async () => {
      expect(await drop('2026-03-15')).toMatchObject([{ rows: 5 }, { rows: 5 }])
      expect(await drop('2026-03-15')).toEqual([])
      expect(await verifyAudit(db)).toMatchObject({ rows: 4, start: { seq: 10 }, problems: [] })
    })

    it('keeps what is not a whole month old enough', async () => {
      expect(await drop('2026-01-31')).toEqual([])
      expect(await verifyAudit(db)).toMatchObject({ rows: 12, start: { seq: 0 }, problems: [] })
    })

    it('is told from rows that somebody has removed: no row of the chain speaks of them', async () => {
      const forged = `INSERT INTO guild_audit.audit_anchors (seq, hash, from_seq, rows, from_at, to_at)
        SELECT seq, hash, 1, 5, '2026-01-01', '2026-02-01' FROM guild_audit.audit_log WHERE seq = 5`
      await withoutTriggers([forged, 'DELETE FROM guild_audit.audit_log WHERE seq <= 5'])
      expect((await verifyAudit(db)).problems).toMatchObject([{ seq: 5, kind: 'anchor' }])
    })

    it('is told from an anchor that was changed, and from a row moved to where it would be dropped', async () => {
      await drop('2026-02-15')
      await withoutTriggers([`UPDATE guild_audit.audit_anchors SET hash = repeat('a', 64)`])
      expect((await verifyAudit(db)).problems[0]).toMatchObject({ seq: 6, kind: 'unlinked' })
      await withoutTriggers([`UPDATE guild_audit.audit_log SET recorded_at = '2026-01-20' WHERE seq = 12`])
      expect((await verifyAudit(db)).problems).toContainEqual(expect.objectContaining({ seq: 12, kind: 'unlinked' }))
    })

    it('cannot be undone by hand: anchors are append-only', async () => {
      await drop('2026-02-15')
      await expect(query('DELETE FROM guild_audit.audit_anchors')).rejects.toThrow('append-only')
      await expect(query('TRUNCATE guild_audit.audit_anchors')).rejects.toThrow('append-only')
    })
  })
}

function entry(n: number) {
  const body = {
    id: `aud_${n}`,
    timestamp: new Date(Date.UTC(2026, 0, 1, 10, n)).toISOString(),
    event_type: 'EVENT_DECIDED',
    payload: { n },
    actor: 'system:dispatcher',
  }
  const key = null
  return {
    id: `msg_${n}`,
    topic: topics.audit,
    key,
    priority: 'NORMAL',
    body,
    attempt: 1,
    publishedAt: new Date(),
  } as const
}
