import { expect, it } from 'vitest'
import type { MigratableDatabase, Param, Statement } from './database.ts'

const text = (sql: string): Statement => ({ name: '', text: sql })
const named = (sql: string): Statement => ({ name: 'conformance.statement', text: sql })

const at = new Date('2026-11-22T13:14:15.678Z')
const cases: readonly (readonly [cast: string, bound: Param, read: unknown])[] = [
  ['int2', 7, 7],
  ['int4', -7, -7],
  ['int8', Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ['float8', 1.5e-7, 1.5e-7],
  ['numeric', '12345678901234567890.5', '12345678901234567890.5'],
  ['numeric', 1.25, '1.25'],
  ['bool', true, true],
  ['bool', false, false],
  ['text', 'a "quoted" \\ text, with ümlaut and {braces}', 'a "quoted" \\ text, with ümlaut and {braces}'],
  ['text', '', ''],
  ['text', null, null],
  ['text', 42, '42'],
  ['varchar', 'x', 'x'],
  ['timestamptz', at, at],
  ['timestamptz', '2026-11-22T15:14:15.678+02:00', at],
  ['date', '2026-11-22', '2026-11-22'],
  ['uuid', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000001'],
  ['jsonb', JSON.stringify({ a: [1, null, 'x'], b: {} }), { a: [1, null, 'x'], b: {} }],
  ['jsonb', '"text"', 'text'],
  ['json', '[1,2]', [1, 2]],
  ['jsonb', 'null', null],
  ['text[]', ['a', '', 'b,"c\\', 'NULL', '{}', ' '], ['a', '', 'b,"c\\', 'NULL', '{}', ' ']],
  ['text[]', [], []],
  ['int4[]', [1, -2], [1, -2]],
  ['int8[]', [1, 2 ** 40], [1, 2 ** 40]],
  ['bytea', String.raw`\x00ff10`, new Uint8Array([0, 255, 16])],
]

/** Parameters and rows are the same on every adapter. */
export function conformingValues(db: () => MigratableDatabase): void {
  it.each(cases)('reads a bound %s (%j) alike on every adapter', async (cast, bound, read) => {
    const statement = named(`SELECT $1::${cast} AS v`)
    expect((await db().query(statement, [bound])).rows).toEqual([{ v: read }])
    // The second time the statement is prepared.
    expect((await db().query(statement, [bound])).rows).toEqual([{ v: read }])
  })

  it('throws on an int8 that a number cannot hold', async () => {
    await expect(db().query(text('SELECT 9007199254740993::int8 AS v'))).rejects.toThrow('9007199254740993')
  })

  it('takes a list for ANY and for unnest', async () => {
    const { rows } = await db().query(text('SELECT x FROM unnest($1::text[]) AS x WHERE x = ANY($2::text[])'), [
      ['a', 'b', 'c'],
      ['c', 'a'],
    ])
    expect(rows).toEqual([{ x: 'a' }, { x: 'c' }])
  })

  it('takes many rows as one JSON text', async () => {
    const items = Array.from({ length: 500 }, (_, n) => ({ n }))
    const result = await db().query(
      text('INSERT INTO u SELECT n FROM jsonb_to_recordset($1::jsonb) AS t (n int8) RETURNING n'),
      [JSON.stringify(items)],
    )
    expect(result.rows).toEqual(items)
    expect(result.count).toBe(500)
  })

  it('counts rows inserted, updated, deleted and selected', async () => {
    const counts: number[] = []
    for (const sql of [
      'INSERT INTO t SELECT g, NULL FROM generate_series(901, 905) g',
      "UPDATE t SET v = 'x' WHERE id IN (901, 902)",
      'SELECT id FROM t WHERE id BETWEEN 901 AND 904',
      'DELETE FROM t WHERE id BETWEEN 901 AND 905',
      'DELETE FROM t WHERE id = 901',
    ])
      counts.push((await db().query(text(sql))).count)
    expect(counts).toEqual([5, 2, 4, 5, 0])
  })

  it('keeps statements of the same name and another text apart', async () => {
    expect((await db().query(named('SELECT 1 AS v'))).rows).toEqual([{ v: 1 }])
    expect((await db().query(named("SELECT 'two' AS v"))).rows).toEqual([{ v: 'two' }])
  })

  it('works in UTC', async () => {
    expect((await db().query(text("SELECT current_setting('TimeZone') AS zone"))).rows).toEqual([{ zone: 'UTC' }])
  })

  it('reads changed columns after a script has changed the table', async () => {
    await db().transaction((tx) => tx.script('CREATE TABLE altered (a int); INSERT INTO altered VALUES (1);'))
    const statement = text('SELECT * FROM altered')
    expect((await db().query(statement)).rows).toEqual([{ a: 1 }])
    await db().transaction((tx) => tx.script('ALTER TABLE altered ADD b int DEFAULT 2'))
    expect((await db().query(statement)).rows).toEqual([{ a: 1, b: 2 }])
  })
}
