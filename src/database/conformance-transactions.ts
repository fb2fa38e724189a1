import { describe, expect, it } from 'vitest'
import { sqlState, type MigratableDatabase, type Statement } from './database.ts'

const text = (sql: string): Statement => ({ name: '', text: sql })
type Count = (where: string) => Promise<number | undefined>

/** Transactions, what may run beside them, and nesting. Expects the table `t (id int PRIMARY KEY, v text)`. */
export function conformingTransactions(db: () => MigratableDatabase, connections: 'one' | 'many'): void {
  const count: Count = async (where) =>
    (await db().query<{ n: number }>(text(`SELECT count(*) AS n FROM t WHERE ${where}`))).rows[0]?.n

  describe('transaction', () => {
    transactions(db, count)
    sharing(db, count)
    if (connections === 'many') conflicts(db)
  })
  describe('nesting', () => {
    nesting(db)
  })
}

function transactions(db: () => MigratableDatabase, count: Count): void {
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

  it('runs what it is given at once in that order, a question first too, and nothing behind what fails', async () => {
    const asked: Statement = {
      name: 'conformance.asked',
      text: 'SELECT count(*) AS n FROM t WHERE id = 9',
      reads: true,
    }
    let outcomes: readonly PromiseSettledResult<unknown>[] = []
    const failed = db().transaction(async (tx) => {
      const { rows } = await tx.query<{ n: number }>(asked)
      expect(rows).toEqual([{ n: 0 }])
      outcomes = await Promise.allSettled([
        tx.query(text('INSERT INTO t VALUES (9)')),
        tx.query(text('INSERT INTO t VALUES (9)')),
        tx.query(asked),
      ])
    })
    await expect(failed).rejects.toMatchObject({ code: 'GUILD_DATABASE_REFUSED' })
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    const seen = await db().transaction(async (tx) => {
      const [, second] = await Promise.all([tx.query(text('INSERT INTO t VALUES (9)')), tx.query(asked)])
      return second.rows
    })
    expect(seen).toEqual([{ n: 1 }])
    expect(await count('id = 9')).toBe(1)
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
}

/** What a `tx` does while others use the database too. */
function sharing(db: () => MigratableDatabase, count: Count): void {
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

  it('runs nothing outside of it that a work still asks for after it has failed', async () => {
    const late: Promise<unknown>[] = []
    const laterOn = (asked: Promise<unknown>) => late.push(asked.catch(() => 'refused'))
    const failed = db().transaction(async (tx) => {
      await tx.query(text('SELECT 1'))
      const twoSteps = async () => {
        await tx.query(text('SELECT 1'))
        await tx.query(text('INSERT INTO t VALUES (77)'))
      }
      laterOn(twoSteps())
      throw new Error('the other half failed')
    })
    const atOnce = db().transaction((tx) => {
      laterOn(tx.query(text('INSERT INTO t VALUES (77)')).then(() => tx.query(text('INSERT INTO t VALUES (78)'))))
      return Promise.reject(new Error('at once'))
    })
    expect(await Promise.allSettled([failed, atOnce])).toMatchObject([
      { status: 'rejected', reason: { message: 'the other half failed' } },
      { status: 'rejected', reason: { message: 'at once' } },
    ])
    expect(await Promise.all(late)).toEqual(['refused', 'refused'])
    expect(await count('id IN (77, 78)')).toBe(0)
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
