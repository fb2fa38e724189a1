import { describe, expect, it } from 'vitest'
import { testPostgres } from '../../../test/postgres.ts'
import { databaseConformance } from '../conformance.ts'
import { PostgresDatabase } from './postgres-database.ts'

const server = await testPostgres()
const now = { name: '', text: 'SELECT 1 AS v' }

describe.skipIf(server === null)('PostgresDatabase', () => {
  const open = async () => PostgresDatabase.open({ url: (await server?.newDatabase()) ?? '' })

  databaseConformance('on a server', { connections: 'many', open })

  it('rejects as unavailable while the server is down, and works again afterwards', async () => {
    await using db = await open()
    await db.query(now)
    await server?.stop()
    await expect(db.query(now)).rejects.toMatchObject({ code: 'GUILD_DATABASE_UNAVAILABLE', retryable: true })
    await expect(open()).rejects.toMatchObject({ code: 'GUILD_DATABASE_UNAVAILABLE' })
    await server?.resume()
    expect((await db.query(now)).rows).toEqual([{ v: 1 }])
  })

  it('listens again after a lost connection and calls back once with an empty payload', async () => {
    await using db = await open()
    const back = Promise.withResolvers<string>()
    const told = Promise.withResolvers<string>()
    await db.listen('wake', (payload) => (payload === '' ? back.resolve(payload) : told.resolve(payload)))
    await db.query({
      name: '',
      text: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()",
    })
    expect(await back.promise).toBe('')
    await db.query({ name: '', text: "SELECT pg_notify('wake', 'again')" })
    expect(await told.promise).toBe('again')
  })

  it('rolls back and drops the connection when the backend dies inside a transaction', async () => {
    await using db = await open()
    await db.transaction((tx) => tx.script('CREATE TABLE t (id int)'))
    const killed = db.transaction(async (tx) => {
      await tx.query({ name: '', text: 'INSERT INTO t VALUES (1)' })
      await tx.query({ name: '', text: 'SELECT pg_terminate_backend(pg_backend_pid())' })
    })
    await expect(killed).rejects.toMatchObject({ code: 'GUILD_DATABASE_UNAVAILABLE' })
    expect((await db.query({ name: '', text: 'SELECT id FROM t' })).rows).toEqual([])
  })

  it('says that it is not let in, rather than that something is a bug', async () => {
    const url = new URL((await server?.newDatabase()) ?? '')
    url.pathname = '/nowhere'
    await expect(PostgresDatabase.open({ url: url.href })).rejects.toMatchObject({
      code: 'GUILD_DATABASE_NO_ACCESS',
      message: 'the database does not let us in: database "nowhere" does not exist',
    })
  })

  it('cuts a statement off after its time', async () => {
    await using db = await PostgresDatabase.open({ url: (await server?.newDatabase()) ?? '', statementMs: 50 })
    await expect(db.query({ name: 'slow', text: 'SELECT pg_sleep(10)' })).rejects.toMatchObject({
      code: 'GUILD_DATABASE_REFUSED',
      details: { sqlState: '57014' },
    })
    await db.transaction((tx) => tx.script('SELECT pg_sleep(0.1)'))
  })
})
