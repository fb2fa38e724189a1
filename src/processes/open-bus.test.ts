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
    const { bus, outbox } = await openBus({ eventBusUrl: new Secret('postgres:') }, database, systemClock, silentLog)
    await database.transaction((tx) => outbox.add(tx, 't', [{ id: 'm', body: 1 }]))
    expect(await bus.count('t')).toBe(1)
    await bus.close()
  })

  it.each([
    ['amqp://user:hidden@host/0', 'there is no bus for amqp: in this version; it takes postgres: or redis://host:6379'],
    ['nonsense', 'it has no scheme; it takes postgres: or redis://host:6379'],
    ['postgres://user:hidden@elsewhere/db', 'the bus lives in the database of DATABASE_URL; write postgres: alone'],
    ['redis:', 'it names no host; write redis://host:6379'],
  ])('refuses %s and repeats no password', async (url, why) => {
    const opening = openBus({ eventBusUrl: new Secret(url) }, unused, systemClock, silentLog)
    await expect(opening).rejects.toThrow(`EVENT_BUS_URL is not valid: ${why}`)
  })
})
