import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Delivery } from '../bus/bus.ts'
import type { Database } from '../database/database.ts'
import { silentLog } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import { auditMessage, type AuditEntry } from './audit.ts'
import { verifyAudit } from './verify.ts'
import { auditWriter } from './writer.ts'

describe('auditWriter', () => {
  let db: Database
  beforeAll(async () => {
    db = await openTestDatabase()
  })
  afterAll(() => db.close())

  const { signal } = new AbortController()
  const write = (bodies: readonly unknown[]) => auditWriter({ db, log: silentLog }).handle(bodies.map(delivery), signal)
  const stored = async () =>
    (await db.query<{ id: string }>(sql('SELECT id FROM guild_audit.audit_log ORDER BY seq'))).rows

  it('appends a batch in its order, without gaps, and the chain verifies', async () => {
    expect(await write([entry('a'), entry('b'), entry('c')])).toEqual([])
    await write([entry('d')])
    expect((await stored()).map(({ id }) => id)).toEqual(['aud_a', 'aud_b', 'aud_c', 'aud_d'])
    expect(await verifyAudit(db)).toMatchObject({ rows: 4, head: { seq: 4 }, problems: [] })
  })

  it('takes a second delivery, also within one batch, as the same entry', async () => {
    const before = await verifyAudit(db)
    await write([entry('a'), entry('e'), entry('e'), entry('b')])
    expect(await verifyAudit(db)).toMatchObject({ rows: before.rows + 1, problems: [] })
  })

  it('sends what is not an entry to the dead letters and keeps the rest', async () => {
    const nacks = await write([{ nothing: true }, entry('f'), null, { ...entry('g'), event_type: 'x'.repeat(51) }])
    expect(nacks).toEqual([
      { id: 'msg_0', dead: true, reason: expect.stringContaining('timestamp') },
      { id: 'msg_2', dead: true, reason: expect.stringContaining('not an audit entry') },
      { id: 'msg_3', dead: true, reason: expect.stringContaining('event_type') },
    ])
    expect((await stored()).at(-1)).toEqual({ id: 'aud_f' })
  })

  it('stores text that PostgreSQL cannot hold with a replacement character', async () => {
    await write([{ ...entry('h'), error_message: 'a\u0000b \ud800', payload: { 'k\u0000': ['\u0000'] } }])
    const { rows } = await db.query(sql("SELECT error_message, payload FROM guild_audit.audit_log WHERE id = 'aud_h'"))
    expect(rows).toEqual([{ error_message: 'a\uFFFDb \uFFFD', payload: { 'k\uFFFD': ['\uFFFD'] } }])
    expect(await verifyAudit(db)).toMatchObject({ problems: [] })
  })

  it('keeps one chain when two writers append at once', async () => {
    const before = await verifyAudit(db)
    const batches = Array.from({ length: 10 }, (_, n) => [entry(`p${n}`), entry(`q${n}`), entry('shared')])
    await Promise.all(batches.map(write))
    expect(await verifyAudit(db)).toMatchObject({ rows: before.rows + 21, problems: [] })
  })

  it('appends the batches that come while one is being appended together, and tells each its own refusals', async () => {
    let transactions = 0
    const counted: Database = Object.create(db, {
      transaction: {
        value: <T>(work: Parameters<typeof db.transaction<T>>[0]) => {
          transactions += 1
          return db.transaction(work)
        },
      },
    }) as Database // only asked for transactions
    const writer = auditWriter({ db: counted, log: silentLog })
    const bodies = [[entry('r1')], [entry('r2'), null], [entry('r3')], [null, entry('r4')]]
    const nacks = await Promise.all(bodies.map((batch) => writer.handle(batch.map(delivery), signal)))
    expect(transactions).toBe(2)
    expect(nacks.map((of) => (of ?? []).map(({ id }) => id))).toEqual([[], ['msg_1'], [], ['msg_0']])
    expect((await stored()).slice(-4).map(({ id }) => id)).toEqual(['aud_r1', 'aud_r2', 'aud_r3', 'aud_r4'])
  })

  it('writes and verifies 1 000 rows in about a second of work', async () => {
    const before = await verifyAudit(db)
    const batches = Array.from({ length: 5 }, (_, batch) =>
      Array.from({ length: 200 }, (_, n) => entry(`${batch}-${n}`)),
    )
    const pages: number[] = []
    // Processor time: the suites of others share the machine.
    const started = process.cpuUsage()
    for (const batch of batches) await write(batch)
    const report = await verifyAudit(db, { onProgress: (rows) => pages.push(rows) })
    const { user, system } = process.cpuUsage(started)
    expect(report).toMatchObject({ rows: before.rows + 1000, problems: [] })
    expect(pages.at(-1)).toBe(report.rows)
    expect((user + system) / 1000).toBeLessThan(4000)
  })

  it.each([
    'UPDATE guild_audit.audit_log SET actor = actor',
    'DELETE FROM guild_audit.audit_log',
    'TRUNCATE guild_audit.audit_log',
  ])('is append-only: %s is refused', async (text) => {
    await expect(db.query(sql(text))).rejects.toThrow('append-only')
  })
})

const sql = (text: string) => ({ name: '', text })

function entry(name: string): AuditEntry {
  return {
    id: `aud_${name}`,
    timestamp: '2026-11-22T10:11:12.345+02:00',
    event_type: 'ACTION_EXECUTED',
    agent_id: 'sentinel',
    payload: { name, cost: 0.1, nested: { list: [1, 'two', null] }, left: undefined },
    result: 'SUCCESS',
    actor: 'agent:sentinel',
  }
}

function delivery(body: unknown, index: number): Delivery {
  return {
    id: `msg_${index}`,
    topic: topics.audit,
    key: null,
    priority: 'NORMAL',
    // What a bus hands out has been through JSON.
    body: JSON.parse(JSON.stringify(isEntry(body) ? auditMessage(body).body : body)) as unknown,
    attempt: 1,
    publishedAt: new Date(),
  }
}

function isEntry(body: unknown): body is AuditEntry {
  return typeof body === 'object' && body !== null && 'actor' in body
}
