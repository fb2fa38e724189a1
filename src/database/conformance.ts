import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isGuildError } from '../kernel/errors.ts'
import { sqlState, type MigratableDatabase, type Param, type Statement } from './database.ts'

export interface DatabaseHarness {
  /** An empty database of its own. */
  open(): Promise<MigratableDatabase>
  /** How many transactions can be open at once: 1 on the embedded database. */
  readonly connections: 'one' | 'many'
}

const text = (sql: string): Statement => ({ name: '', text: sql })
const named = (sql: string): Statement => ({ name: 'conformance.statement', text: sql })

/** Proves each sentence of `database.ts`, for one adapter. */
export function databaseConformance(name: string, harness: DatabaseHarness): void {
  describe(`Database ${name}`, () => {
    let db: MigratableDatabase
    beforeAll(async () => {
      db = await harness.open()
      await db.transaction((tx) => tx.script('CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (n int8);'))
    })
    afterAll(async () => {
      await db.close()
    })
    const count = async (where: string) =>
      (await db.query<{ n: number }>(text(`SELECT count(*) AS n FROM t WHERE ${where}`))).rows[0]?.n

    describe('parameters and rows', () => {
      readsAndBinds(() => db)
    })
    describe('transaction', () => {
      transactions(() => db, count)
      if (harness.connections === 'many') conflicts(() => db)
    })
    describe('nesting', () => {
      nesting(() => db)
    })
    describe('listen', () => {
      listening(() => db)
    })
    describe('errors', () => {
      errors(() => db)
    })
    describe('close', () => {
      closing(harness)
    })
  })
}

function readsAndBinds(db: () => MigratableDatabase): void {
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

function transactions(db: () => MigratableDatabase, count: (where: string) => Promise<number | undefined>): void {
  it('commits when the work resolves, and returns its value', async () => {
    const value = await db().transaction(async (tx) => {
      await tx.query(text('INSERT INTO t VALUES (1)'))
      await tx.query(text('INSERT INTO t VALUES (2)'))
      return 'done'
    })
    expect(value).toBe('done')
    expect(await count('id IN (1, 2)')).toBe(2)
  })

  it('rolls back when the work rejects, and rejects with the same error', async () => {
    const reason = new Error('changed my mind')
    const failed = db().transaction(async (tx) => {
      await tx.query(text('INSERT INTO t VALUES (3)'))
      throw reason
    })
    await expect(failed).rejects.toBe(reason)
    expect(await count('id = 3')).toBe(0)
  })

  it('rolls back a work that swallows the error of a statement', async () => {
    const swallowed = db().transaction(async (tx) => {
      await tx.query(text('INSERT INTO t VALUES (4)'))
      await expect(tx.query(text('SELECT 1/0'))).rejects.toThrow('division by zero')
    })
    await expect(swallowed).rejects.toMatchObject({ code: 'GUILD_DATABASE_REFUSED' })
    expect(await count('id = 4')).toBe(0)
  })

  it.each(['40001', '40P01'])('retries SQLSTATE %s up to 5 times', async (state) => {
    let attempts = 0
    const result = await db().transaction(async (tx) => {
      attempts += 1
      if (attempts <= 5) await tx.query(text(`DO $$ BEGIN RAISE SQLSTATE '${state}'; END $$`))
      return attempts
    })
    expect(result).toBe(6)
    attempts = 0
    const hopeless = db().transaction(async (tx) => {
      attempts += 1
      await tx.query(text(`DO $$ BEGIN RAISE SQLSTATE '${state}'; END $$`))
    })
    await expect(hopeless).rejects.toSatisfy((error) => sqlState(error) === state)
    expect(attempts).toBe(6)
  })

  it('retries nothing else', async () => {
    let attempts = 0
    const failed = db().transaction(async (tx) => {
      attempts += 1
      await tx.query(text('SELECT 1/0'))
    })
    await expect(failed).rejects.toThrow()
    expect(attempts).toBe(1)
  })

  it('serves statements sent at once one after the other', async () => {
    const values = await db().transaction(async (tx) =>
      Promise.all([1, 2, 3].map(async (n) => (await tx.query(text(`SELECT ${n} AS n`))).rows[0])),
    )
    expect(values).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
  })

  it('serves more transactions than it has connections', async () => {
    const all = Array.from({ length: 40 }, (_, n) =>
      db().transaction(async (tx) => {
        await tx.query(text(`INSERT INTO t VALUES (${1000 + n})`))
        return (await tx.query(text('SELECT 1 AS one'))).count
      }),
    )
    expect(await Promise.all(all)).toEqual(all.map(() => 1))
    expect(await count('id >= 1000')).toBe(40)
  })

  it('refuses a tx that has outlived its transaction', async () => {
    const late = await db().transaction((tx) => Promise.resolve(() => tx.query(text('INSERT INTO t VALUES (6)'))))
    await expect(late()).rejects.toMatchObject({ code: 'GUILD_INTERNAL' })
    expect(await count('id = 6')).toBe(0)
  })
}

function conflicts(db: () => MigratableDatabase): void {
  it('retries the loser of a real deadlock until both have committed', async () => {
    await db().query(text("INSERT INTO t VALUES (51, ''), (52, '')"))
    let inside = 0
    const bothInside = Promise.withResolvers<void>()
    const change = (first: number, second: number) =>
      db().transaction(async (tx) => {
        await tx.query(text(`UPDATE t SET v = v || 'x' WHERE id = ${first}`))
        inside += 1
        if (inside === 2) bothInside.resolve()
        await bothInside.promise
        await tx.query(text(`UPDATE t SET v = v || 'x' WHERE id = ${second}`))
      })
    await Promise.all([change(51, 52), change(52, 51)])
    const { rows } = await db().query(text('SELECT v FROM t WHERE id IN (51, 52)'))
    expect(rows).toEqual([{ v: 'xx' }, { v: 'xx' }])
  })
}

function nesting(db: () => MigratableDatabase): void {
  it.each([
    ['query', () => db().query(text('SELECT 1'))],
    ['transaction', () => db().transaction(() => Promise.resolve())],
    ['listen', () => db().listen('x', () => undefined)],
  ])('refuses %s inside a transaction of its own instead of waiting for itself', async (_, nested) => {
    const failed = db().transaction(async () => {
      await nested()
    })
    await expect(failed).rejects.toMatchObject({ code: 'GUILD_DATABASE_NESTED' })
  })

  it('allows others to query while a transaction is open', async () => {
    const opened = Promise.withResolvers<void>()
    const work = db().transaction(async () => {
      opened.resolve()
      await Promise.resolve()
    })
    await opened.promise
    expect((await db().query(text('SELECT 1 AS v'))).rows).toEqual([{ v: 1 }])
    await work
  })

  it('allows what a work has started to query once the transaction is over', async () => {
    const over = Promise.withResolvers<void>()
    const { later } = await db().transaction(() =>
      Promise.resolve({ later: over.promise.then(() => db().query(text('SELECT 1 AS v'))) }),
    )
    over.resolve()
    expect((await later).rows).toEqual([{ v: 1 }])
  })
}

function listening(db: () => MigratableDatabase): void {
  it('calls back for every NOTIFY on the channel, after the commit only', async () => {
    const got: string[] = []
    const third = Promise.withResolvers<void>()
    const stop = await db().listen('guild.wake "now"', (payload) => {
      got.push(payload)
      if (got.length === 3) third.resolve()
    })
    await db().query(text('SELECT pg_notify($1, $2)'), ['another', 'no'])
    await db().query(text('SELECT pg_notify($1, $2)'), ['guild.wake "now"', 'one'])
    const failed = db().transaction(async (tx) => {
      await tx.query(text('SELECT pg_notify($1, $2)'), ['guild.wake "now"', 'rolled back'])
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    await db().transaction(async (tx) => {
      await tx.query(text('SELECT pg_notify($1, $2)'), ['guild.wake "now"', 'two'])
    })
    await db().query(text('SELECT pg_notify($1, $2)'), ['guild.wake "now"', ''])
    await third.promise
    expect(got).toEqual(['one', 'two', ''])
    await stop()
  })

  it('lets a callback query', async () => {
    const answer = Promise.withResolvers<unknown>()
    const stop = await db().listen(
      'asks',
      () => void db().query(text('SELECT 1 AS v')).then(answer.resolve, answer.reject),
    )
    await db().transaction((tx) => tx.query(text("SELECT pg_notify('asks', '')")))
    expect(await answer.promise).toMatchObject({ rows: [{ v: 1 }] })
    await stop()
  })

  it('serves several listeners of a channel, and stops one of them', async () => {
    const got: string[] = []
    const both = Promise.withResolvers<void>()
    const stopFirst = await db().listen('shared', (payload) => got.push(`first ${payload}`))
    const stopSecond = await db().listen('shared', (payload) => {
      got.push(`second ${payload}`)
      both.resolve()
    })
    await db().query(text("SELECT pg_notify('shared', 'a')"))
    await both.promise
    await stopFirst()
    const last = Promise.withResolvers<void>()
    const stopLast = await db().listen('shared', () => last.resolve())
    await db().query(text("SELECT pg_notify('shared', 'b')"))
    await last.promise
    expect(got).toEqual(['first a', 'second a', 'second b'])
    await stopSecond()
    await stopLast()
  })
}

function errors(db: () => MigratableDatabase): void {
  it.each([
    ['23505', 'INSERT INTO t VALUES (70), (70)'],
    ['42P01', 'SELECT * FROM nowhere'],
    ['42601', 'SELEC'],
    ['22P02', "SELECT 'x'::int"],
  ])('tells SQLSTATE %s of %s and keeps the cause', async (state, sql) => {
    const error: unknown = await db()
      .query({ name: 'conformance.failing', text: sql })
      .then(
        () => null,
        (reason: unknown) => reason,
      )
    expect(sqlState(error)).toBe(state)
    expect(error).toMatchObject({
      code: 'GUILD_DATABASE_REFUSED',
      retryable: false,
      details: { statement: 'conformance.failing', sqlState: state },
      cause: expect.objectContaining({ code: state }),
    })
    expect((await db().query(text('SELECT 1 AS v'))).rows).toEqual([{ v: 1 }])
  })

  it('names no SQLSTATE for an error that is not one of SQL', () => {
    expect(sqlState(Object.assign(new Error('broken pipe'), { code: 'EPIPE' }))).toBeUndefined()
    expect(sqlState('23505')).toBeUndefined()
  })
}

function closing(harness: DatabaseHarness): void {
  it('waits for what runs, then refuses, and closes twice', async () => {
    const db = await harness.open()
    const running = db.transaction(async (tx) => {
      await tx.query(text('SELECT pg_sleep(0.05)'))
      return (await tx.query(text('SELECT 1 AS v'))).rows
    })
    const waiting = db.query(text('SELECT 2 AS v'))
    await Promise.all([db.close(), db.close()])
    expect(await running).toEqual([{ v: 1 }])
    expect((await waiting).rows).toEqual([{ v: 2 }])
    await expect(db.query(text('SELECT 1'))).rejects.toSatisfy((error) =>
      isGuildError(error, 'GUILD_DATABASE_UNAVAILABLE'),
    )
    await db.close()
  })
}
