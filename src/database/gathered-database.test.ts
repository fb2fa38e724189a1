import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { GuildError } from '../kernel/errors.ts'
import type { Database, Param, Queryable, Result, Statement } from './database.ts'
import { gathered, mergeable } from './gathered.ts'
import { GatheredDatabase } from './gathered-database.ts'

const text = (sql: string, name = ''): Statement => ({ name, text: sql })
const one = text('INSERT INTO gathered_t (id, v) VALUES ($1::integer, $2::text) RETURNING id, v', 'one')
const many = text(
  `WITH asked AS (SELECT * FROM unnest($1::integer[], $2::text[]) WITH ORDINALITY AS r (id, v, nth)),
  made AS (INSERT INTO gathered_t (id, v) SELECT id, v FROM asked RETURNING id, v)
  SELECT asked.nth, made.id, made.v FROM asked JOIN made ON made.id = asked.id`,
  'many',
)
const insert = gathered(one, many)

/** What reaches the database. */
class Seen implements Database {
  readonly #db: Database
  readonly statements: string[] = []
  transactions = 0
  constructor(db: Database) {
    this.#db = db
  }
  get kind() {
    return this.#db.kind
  }
  query<Row>(statement: Statement, params?: readonly Param[]): Promise<Result<Row>> {
    this.statements.push(statement.name)
    return this.#db.query(statement, params)
  }
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    this.transactions += 1
    return this.#db.transaction((tx) =>
      work({
        query: (statement, params) => {
          this.statements.push(statement.name)
          return tx.query(statement, params)
        },
      }),
    )
  }
  listen(): Promise<() => Promise<void>> {
    return Promise.resolve(() => Promise.resolve())
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve()
  }
}

describe('GatheredDatabase', () => {
  let db: Database
  beforeAll(async () => {
    db = await openTestDatabase()
    await db.query(text('CREATE TABLE gathered_t (id integer PRIMARY KEY, v text)'))
  })
  afterAll(() => db.close())
  beforeEach(async () => void (await db.query(text('DELETE FROM gathered_t'))))

  const open = () => {
    const seen = new Seen(db)
    return { seen, gather: new GatheredDatabase(seen) }
  }
  const ids = async () =>
    (await db.query<{ id: number }>(text('SELECT id FROM gathered_t ORDER BY id'))).rows.map(({ id }) => id)

  it('asks once for all who come at the same moment, and tells each its own rows', async () => {
    const { seen, gather } = open()
    const results = await Promise.all([1, 2, 3].map((id) => gather.query(insert, [id, id === 2 ? null : `v${id}`])))
    expect(results.map(({ rows, count }) => [count, ...rows])).toEqual([
      [1, { nth: 1, id: 1, v: 'v1' }],
      [1, { nth: 2, id: 2, v: null }],
      [1, { nth: 3, id: 3, v: 'v3' }],
    ])
    expect(seen.transactions).toBe(1)
    expect(seen.statements).toEqual(['gathered.byKeys', 'many'])
  })

  it('asks plainly for one who is alone', async () => {
    const { seen, gather } = open()
    await gather.query(insert, [1, 'v'])
    await gather.transaction((tx) => tx.query(insert, [2, 'v']))
    expect(seen.statements).toEqual(['one', 'one'])
  })

  it('runs works side by side in one transaction, step by step', async () => {
    const { seen, gather } = open()
    const work = (id: number) => async (tx: Queryable) => {
      await tx.query(insert, [id, 'first'])
      await tx.query(insert, [id + 10, 'second'])
      return id
    }
    expect(await Promise.all([1, 2, 3].map((id) => gather.transaction(work(id))))).toEqual([1, 2, 3])
    expect(seen.statements).toEqual(['gathered.byKeys', 'many', 'many'])
    expect(await ids()).toEqual([1, 2, 3, 11, 12, 13])
  })

  it.each([1, 2])('has %i transactions under way when it is given so many lanes', async (lanes) => {
    const { seen } = open()
    const gather = new GatheredDatabase(seen, { lanes })
    const door = Promise.withResolvers<void>()
    const first = gather.transaction(async (tx) => {
      await tx.query(insert, [1, 'v'])
      await door.promise
    })
    // Alone: it has left before the others come.
    while (seen.statements.length === 0) await setImmediate()
    const others = [2, 3].map((id) => gather.transaction((tx) => tx.query(insert, [id, 'v'])))
    while (seen.transactions < lanes) await setImmediate()
    expect(seen.transactions).toBe(lanes)
    door.resolve()
    await Promise.all([first, ...others])
    expect(seen.transactions).toBe(2)
    expect(await ids()).toEqual([1, 2, 3])
  })

  it('lets a work that fails fail alone, and keeps nothing of it', async () => {
    const { gather } = open()
    const reason = new Error('the lease is lost')
    const settled = await Promise.allSettled(
      [1, 2, 3].map((id) =>
        gather.transaction(async (tx) => {
          await tx.query(insert, [id, 'v'])
          if (id === 2) throw reason
        }),
      ),
    )
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(settled[1]).toMatchObject({ reason })
    expect(await ids()).toEqual([1, 3])
  })

  it('lets a statement that the database refuses fail alone', async () => {
    const { gather } = open()
    await gather.query(insert, [2, 'there already'])
    const settled = await Promise.allSettled([1, 2, 3].map((id) => gather.query(insert, [id, 'v'])))
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(settled[1]).toMatchObject({ reason: { details: { sqlState: '23505' } } })
    expect(await ids()).toEqual([1, 2, 3])
  })

  it('keeps nothing when a work keeps the failure of its statement to itself', async () => {
    const { gather } = open()
    const works = [1, 2].map((id) =>
      gather.transaction(async (tx) => {
        await tx.query(insert, [id, 'v'])
        if (id === 2) await tx.query(text('SELECT 1/0')).catch(() => undefined)
      }),
    )
    const settled = await Promise.allSettled(works)
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(await ids()).toEqual([1])
  })

  it('asks each alone where the answer for all is none', async () => {
    const { seen, gather } = open()
    const none = {
      name: 'none',
      text: 'SELECT 1 AS nth FROM unnest($1::integer[], $2::text[]) AS r (id, v) WHERE id < 0',
    }
    const careful = gathered(one, none, { empty: 'alone' })
    const results = await Promise.all([1, 2].map((id) => gather.query(careful, [id, 'v'])))
    expect(results.map(({ rows }) => rows)).toEqual([[{ id: 1, v: 'v' }], [{ id: 2, v: 'v' }]])
    expect(seen.statements).toEqual(['gathered.byKeys', 'none', 'one', 'one'])
  })

  it('puts together only what has the same key', async () => {
    const { seen, gather } = open()
    const put = mergeable(
      text('INSERT INTO gathered_t (id, v) SELECT unnest($2::integer[]), $1::text', 'put'),
      (calls) => [calls[0]?.[0] ?? null, calls.flatMap(([, numbers]) => (numbers as readonly number[]) ?? [])],
      ([topic]) => String(topic),
    )
    await Promise.all([1, 2, 3].map((id) => gather.transaction((tx) => tx.query(put, [id === 3 ? 'b' : 'a', [id]]))))
    expect(seen.statements).toEqual(['gathered.byKeys', 'put', 'put'])
    expect(await ids()).toEqual([1, 2, 3])
  })

  it('refuses a call of the database inside a work', async () => {
    const { gather } = open()
    const nested = [1, 2].map(() => gather.transaction(() => gather.query(insert, [1, 'v'])))
    for (const outcome of await Promise.allSettled(nested))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'GUILD_DATABASE_NESTED' } })
  })

  it('does not try again when the database is gone: the commit may have come through', async () => {
    const { seen } = open()
    let works = 0
    class Gone extends Seen {
      override async transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
        await super.transaction(work)
        throw new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'the connection was lost at COMMIT' })
      }
    }
    const gather = new GatheredDatabase(new Gone(seen))
    const settled = await Promise.allSettled(
      [1, 2].map((id) =>
        gather.transaction(async (tx) => {
          works += 1
          await tx.query(insert, [id, 'v'])
        }),
      ),
    )
    for (const outcome of settled) expect(outcome).toMatchObject({ reason: { code: 'GUILD_DATABASE_UNAVAILABLE' } })
    expect(works).toBe(2)
  })
})
