import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isGuildError } from '../kernel/errors.ts'
import { conformingTransactions } from './conformance-transactions.ts'
import { conformingValues } from './conformance-values.ts'
import { sqlState, type MigratableDatabase, type Statement } from './database.ts'

export interface DatabaseHarness {
  /** An empty database of its own. */
  open(): Promise<MigratableDatabase>
  /** How many transactions can be open at once: 1 on the embedded database. */
  readonly connections: 'one' | 'many'
}

const text = (sql: string): Statement => ({ name: '', text: sql })

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

    describe('parameters and rows', () => {
      conformingValues(() => db)
    })
    conformingTransactions(() => db, harness.connections)
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
