import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../kernel/clock.ts'
import { Keys } from '../http/auth.ts'
import { PostgresBus } from '../bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../bus/postgres/postgres-outbox.ts'
import type { Database } from '../database/database.ts'
import { openTestDatabase } from '../../test/database.ts'
import { adminKey } from './admin-key.ts'
import { logger } from './logger.ts'

let home: string
let database: Database
let bus: PostgresBus
let keys: Keys
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'guild-key-'))
  database = await openTestDatabase()
  bus = new PostgresBus({ database, clock: systemClock, log: logger({ logLevel: 'error' }) })
  keys = new Keys(database, new PostgresOutbox(bus))
})
afterEach(async () => {
  await bus.close()
  await database.close()
  await rm(home, { recursive: true, force: true })
})

async function audited(): Promise<readonly object[]> {
  const messages = await bus.peek('guild.audit.log', { limit: 10 })
  return messages.map(({ body }) => body as object)
}

it('still signs somebody in after the admin key was revoked: the revoked one is replaced', async () => {
  const first = await adminKey(keys, home)
  expect((await adminKey(keys, home)).id).toBe(first.id)
  await keys.revoke(first.id, new Date(), 'person:ada')
  const second = await adminKey(keys, home)
  expect(second.id).not.toBe(first.id)
  expect(await keys.signInToken(second.id, new Date())).toMatch(/.{40,}/)
  await expect(keys.authenticate(first.key.reveal())).rejects.toThrow()
})

it('leaves an audit entry for every key made or revoked, and none for one that is known', async () => {
  const { id, key } = await adminKey(keys, home)
  await adminKey(keys, home)
  const made = await keys.create('ci', 'viewer', new Date(), 'person:ada')
  await keys.revoke(made.id, new Date(), 'person:ada')
  expect(await audited()).toMatchObject([
    { event_type: 'KEY_REVOKED', actor: 'person:ada', payload: { key: made.id, name: 'ci', role: 'viewer' } },
    { event_type: 'KEY_CREATED', actor: 'person:ada', payload: { key: made.id } },
    { event_type: 'KEY_CREATED', actor: 'system:guild', payload: { key: id, role: 'admin' } },
  ])
  expect(JSON.stringify(await audited())).not.toContain(key.reveal())
})
