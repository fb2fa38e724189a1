import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Database, Queryable } from '../database/database.ts'
import { silentLog } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import type { ChainHead } from './chain.ts'
import { verifyAudit, type AuditReport } from './verify.ts'
import { auditWriter } from './writer.ts'

const rows = 12
const genesis: ChainHead = { seq: 0, hash: '0'.repeat(64) }

describe('verifyAudit', () => {
  let db: Database
  let anchor: ChainHead
  beforeAll(async () => {
    db = await openTestDatabase()
    await auditWriter({ db, log: silentLog }).handle(
      Array.from({ length: rows }, delivery),
      new AbortController().signal,
    )
    anchor = (await verifyAudit(db)).head
  })
  afterAll(() => db.close())

  /** The report on a chain that somebody with the rights to do so has tampered with; undone afterwards. */
  async function after(tampering: readonly string[], withAnchor = false): Promise<AuditReport> {
    const undo = new Error('undo')
    let report: AuditReport | undefined
    const work = db.transaction(async (tx: Queryable) => {
      for (const text of ['ALTER TABLE guild_audit.audit_log DISABLE TRIGGER USER', ...tampering])
        await tx.query({ name: '', text })
      report = await verifyAudit(tx, withAnchor ? { anchor } : {})
      throw undo
    })
    await expect(work).rejects.toBe(undo)
    if (report === undefined) throw new Error('no report')
    return report
  }

  it('finds nothing in an untouched chain, nor in one that has grown since the anchor', async () => {
    expect(await after([], true)).toEqual({ rows, head: anchor, start: genesis, problems: [] })
    expect(anchor.seq).toBe(rows)
  })

  it('accepts an empty chain, and misses the anchor in it', async () => {
    expect(await after(['DELETE FROM guild_audit.audit_log'])).toEqual({
      rows: 0,
      head: genesis,
      start: genesis,
      problems: [],
    })
    const report = await after(['DELETE FROM guild_audit.audit_log'], true)
    expect(report.problems).toMatchObject([{ seq: rows, kind: 'anchor' }])
  })

  it.each([
    [
      'a changed payload',
      [`UPDATE guild_audit.audit_log SET payload = '{}' WHERE seq = 5`],
      { seq: 5, kind: 'changed' },
    ],
    [
      'a changed time of one microsecond',
      [`UPDATE guild_audit.audit_log SET timestamp = timestamp + interval '1 us' WHERE seq = 5`],
      { seq: 5, kind: 'changed' },
    ],
    [
      'a value where there was none',
      [`UPDATE guild_audit.audit_log SET agent_id = '' WHERE seq = 5`],
      { seq: 5, kind: 'changed' },
    ],
    ['a removed row', ['DELETE FROM guild_audit.audit_log WHERE seq = 5'], { seq: 5, kind: 'missing' }],
    ['a removed first row', ['DELETE FROM guild_audit.audit_log WHERE seq = 1'], { seq: 1, kind: 'missing' }],
    [
      'a row removed and the gap closed',
      [
        'DELETE FROM guild_audit.audit_log WHERE seq = 5',
        `UPDATE guild_audit.audit_log SET seq = 5 WHERE seq = ${rows}`,
      ],
      { seq: 5, kind: 'unlinked' },
    ],
    ['a row before the first', [copyOf(1, 0)], { seq: 0, kind: 'unlinked' }],
    ['a forged row at the end', [copyOf(rows, rows + 1)], { seq: rows + 1, kind: 'unlinked' }],
    [
      'a row of another chain with a hash that fits it',
      [`UPDATE guild_audit.audit_log SET prev_hash = repeat('a', 64) WHERE seq = 5`],
      { seq: 5, kind: 'unlinked' },
    ],
  ])('finds %s', async (_, tampering, problem) => {
    expect((await after(tampering)).problems[0]).toMatchObject(problem)
  })

  it('finds a chain cut short at its end with the saved head', async () => {
    const cut = [`DELETE FROM guild_audit.audit_log WHERE seq > ${rows - 2}`]
    expect((await after(cut)).problems).toEqual([])
    expect((await after(cut, true)).problems).toMatchObject([{ seq: rows, kind: 'anchor' }])
  })

  it('names every problem up to a limit and still counts the rows', async () => {
    const report = await after([`UPDATE guild_audit.audit_log SET actor = 'somebody else'`])
    expect(report.rows).toBe(rows)
    expect(report.problems).toHaveLength(rows)
  })

  it('finds whatever is done to any column of any row', async () => {
    await fc.assert(
      fc.asyncProperty(tampering, async (texts) => {
        expect((await after(texts, true)).problems).not.toEqual([])
      }),
      { numRuns: 60 },
    )
  })
})

const seq = fc.integer({ min: 1, max: rows })
const texts = [
  'id',
  'event_type',
  'agent_id',
  'source_event_id',
  'action_type',
  'target_system',
  'result',
  'error_message',
  'trace_id',
  'invocation_id',
  'action_id',
  'actor',
  'codex_commit',
  'decision_id',
  'prev_hash',
  'hash',
]

const tampering = fc.oneof(
  fc
    .tuple(seq, fc.constantFrom(...texts), fc.stringMatching(/^[a-z]{1,12}$/))
    .map(([at, column, value]) => [`UPDATE guild_audit.audit_log SET ${column} = '~${value}' WHERE seq = ${at}`]),
  fc
    .tuple(seq, fc.integer({ min: 1, max: 10 ** 12 }))
    .map(([at, us]) => [
      `UPDATE guild_audit.audit_log SET timestamp = timestamp + interval '${us} us' WHERE seq = ${at}`,
    ]),
  fc
    .tuple(seq, fc.jsonValue())
    .map(([at, value]) => [
      `UPDATE guild_audit.audit_log SET payload = jsonb_build_object('n', ${at}, 'forged', $json$${safe(value)}$json$::jsonb) WHERE seq = ${at}`,
    ]),
  fc
    .uniqueArray(seq, { minLength: 1, maxLength: rows })
    .map((all) => [`DELETE FROM guild_audit.audit_log WHERE seq IN (${all.join()})`]),
  fc
    .tuple(
      seq,
      fc.integer({ min: -3, max: rows + 5 }).filter((n) => n < 1 || n > rows),
    )
    .map(([from, to]) => [copyOf(from, to)]),
  fc
    .uniqueArray(seq, { minLength: 2, maxLength: 2 })
    .map(([a, b]) => [
      `UPDATE guild_audit.audit_log SET seq = 1000 WHERE seq = ${a}`,
      `UPDATE guild_audit.audit_log SET seq = ${a} WHERE seq = ${b}`,
      `UPDATE guild_audit.audit_log SET seq = ${b} WHERE seq = 1000`,
    ]),
  fc
    .integer({ min: 1, max: 100 })
    .map((by) => [`UPDATE guild_audit.audit_log SET seq = -seq`, `UPDATE guild_audit.audit_log SET seq = ${by} - seq`]),
)

function safe(value: unknown): string {
  return JSON.stringify(value).replaceAll(/\\u0000|\$/g, '')
}

function copyOf(from: number, to: number): string {
  const columns = 'timestamp, event_type, agent_id, payload, actor, prev_hash, hash'
  return `INSERT INTO guild_audit.audit_log (seq, id, ${columns}) SELECT ${to}, 'aud_forged', ${columns} FROM guild_audit.audit_log WHERE seq = ${from}`
}

function delivery(_: unknown, n: number) {
  const body = {
    id: `aud_${n}`,
    timestamp: new Date(Date.UTC(2026, 10, 22, 10, n)).toISOString(),
    event_type: 'EVENT_DECIDED',
    payload: { n },
    actor: 'system:dispatcher',
  }
  return {
    id: `msg_${n}`,
    topic: topics.audit,
    key: null,
    priority: 'NORMAL',
    body,
    attempt: 1,
    publishedAt: new Date(),
  } as const
}
