import { describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Database } from '../database/database.ts'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { openBus } from './open-bus.ts'

const unused: Database = {
  kind: 'pglite',
  query: () => Promise.reject(new Error('not reached')),
  transaction: () => Promise.reject(new Error('not reached')),
  listen: () => Promise.reject(new Error('not reached')),
  close: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
}

describe('openBus', () => {
  it('opens a bus in the database for postgres:', async () => {
    await using database = await openTestDatabase()
    const { bus, outbox } = openBus({ eventBusUrl: new Secret('postgres:') }, database, systemClock, silentLog)
    await database.transaction((tx) => outbox.add(tx, 't', [{ id: 'm', body: 1 }]))
    expect(await bus.count('t')).toBe(1)
    await bus.close()
  })

  it.each([
    ['redis://user:hidden@host/0', 'there is no bus for redis: in this version; it takes postgres:'],
    ['nonsense', 'it has no scheme; it takes postgres:'],
    ['postgres://user:hidden@elsewhere/db', 'the bus lives in the database of DATABASE_URL; write postgres: alone'],
  ])('refuses %s and repeats no password', (url, why) => {
    const eventBusUrl = new Secret(url)
    expect(() => openBus({ eventBusUrl }, unused, systemClock, silentLog)).toThrow(`EVENT_BUS_URL is not valid: ${why}`)
  })
})
