import { createServer } from 'node:net'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { PostgresDatabase } from '../database/postgres/postgres-database.ts'
import { GuildError } from '../kernel/errors.ts'
import { silentLog } from '../kernel/log.ts'
import { isNotUpYet, openWhenUp } from './wait-for-store.ts'

const refused = () =>
  new GuildError(
    'GUILD_DATABASE_UNAVAILABLE',
    { why: 'refused' },
    { cause: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }) },
  )
const sql = (code: string) =>
  new GuildError(
    'GUILD_DATABASE_REFUSED',
    { statement: 'connect', why: code, sqlState: code },
    { cause: Object.assign(new Error(code), { code, severity: 'FATAL' }) },
  )

describe('what time may heal', () => {
  it.each([
    ['nobody listens', refused(), true],
    ['the server starts', sql('57P03'), true],
    ['all connections are taken', sql('53300'), true],
    ['the connection ended in the middle', new Error('Connection terminated unexpectedly'), true],
    ['a wrong password', sql('28P01'), false],
    ['no such database', sql('3D000'), false],
    ['a password that is missing', new Error('SASL: client password must be a string'), false],
    [
      'a certificate nobody trusts',
      Object.assign(new Error('self-signed'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
      false,
    ],
    ['a server that is too old', new GuildError('GUILD_DATABASE_TOO_OLD', { have: 12, need: 15 }), false],
    ['a schema that is behind', new GuildError('GUILD_SCHEMA_BEHIND', { have: 3, need: 4 }), false],
  ])('%s', (_, error, expected) => {
    expect(isNotUpYet(error)).toBe(expected)
  })

  it('knows a PostgreSQL client that finds nobody', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    server.close()
    await once(server, 'close')
    const error = await PostgresDatabase.open({ url: `postgres://a@127.0.0.1:${port}/b` }).catch((e: unknown) => e)
    expect(isNotUpYet(error)).toBe(true)
  })
})

describe('opening a store', () => {
  it('tries again until it answers', async () => {
    let attempts = 0
    const open = () => {
      attempts += 1
      return attempts < 3 ? Promise.reject(refused()) : Promise.resolve('open')
    }
    const clock = { now: () => new Date(0), sleep: () => Promise.resolve() }
    expect(await openWhenUp('database', open, { waitMs: 1_000, log: silentLog, clock })).toBe('open')
    expect(attempts).toBe(3)
  })

  it('gives up when its time is over, with the reason of the last attempt', async () => {
    let nowMs = 0
    const clock = {
      now: () => new Date(nowMs),
      sleep: (waitMs: number) => {
        nowMs += waitMs
        return Promise.resolve()
      },
    }
    const open = () => Promise.reject(refused())
    await expect(openWhenUp('database', open, { waitMs: 10_000, log: silentLog, clock })).rejects.toMatchObject({
      code: 'GUILD_DATABASE_UNAVAILABLE',
    })
    expect(nowMs).toBe(10_000)
  })

  it('does not wait for what time does not heal, nor after the signal to stop', async () => {
    let attempts = 0
    const opening = (error: unknown) => () => {
      attempts += 1
      return Promise.reject(error)
    }
    await expect(
      openWhenUp('database', opening(sql('28P01')), { waitMs: 60_000, log: silentLog }),
    ).rejects.toMatchObject({ code: 'GUILD_DATABASE_REFUSED' })
    const signal = AbortSignal.abort()
    await expect(
      openWhenUp('database', opening(refused()), { waitMs: 60_000, signal, log: silentLog }),
    ).rejects.toMatchObject({ code: 'GUILD_DATABASE_UNAVAILABLE' })
    expect(attempts).toBe(2)
  })
})
