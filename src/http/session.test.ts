import fastify from 'fastify'
import { afterAll, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { testCache } from '../../test/cache.ts'
import type { Statement } from '../database/database.ts'
import { Sessions } from './session.ts'

const db = await openTestDatabase()
afterAll(() => db.close())
const entries: Statement = { name: 'test.entries', text: 'SELECT key, value FROM guild_cache.entries' }
const flush: Statement = { name: 'test.flush', text: 'TRUNCATE guild_cache.entries' }

/** A process of its own, as far as sessions go. */
function server() {
  const sessions = new Sessions(testCache(db))
  const app = fastify()
  app.get('/sign-in', async (_, reply) => {
    await sessions.start(reply, 'key_1')
    return {}
  })
  app.route({
    method: ['GET', 'POST'],
    url: '/who',
    handler: async (request) => ({ keyId: await sessions.keyId(request) }),
  })
  return app
}

async function signIn(app: ReturnType<typeof server>): Promise<string> {
  const header = (await app.inject('/sign-in')).headers['set-cookie']
  return String(header).split(';')[0] ?? ''
}

it('holds on every process of the guild', async () => {
  await using one = server()
  await using two = server()
  const cookie = await signIn(one)
  expect((await two.inject({ url: '/who', headers: { cookie } })).json()).toEqual({ keyId: 'key_1' })
})

it('stores nothing that signs anybody in', async () => {
  await using one = server()
  const cookie = await signIn(one)
  const { rows } = await db.query<{ key: string; value: string }>(entries)
  expect(rows.length).toBeGreaterThan(0)
  for (const { key, value } of rows) {
    expect(key).toMatch(/^session:http:[0-9a-f]{64}$/)
    expect(`${key}${value}`).not.toContain(cookie.split('=')[1])
  }
})

it('is over after a flush, and never anybody’s by an invented cookie', async () => {
  await using one = server()
  const cookie = await signIn(one)
  await db.query(flush)
  const nobody = { keyId: null }
  expect((await one.inject({ url: '/who', headers: { cookie } })).json()).toEqual(nobody)
  const invented = `guild_session=${'a'.repeat(43)}`
  expect((await one.inject({ url: '/who', headers: { cookie: invented } })).json()).toEqual(nobody)
})

it('does not count for a write that another site sends', async () => {
  await using one = server()
  const cookie = await signIn(one)
  const post = (origin: string) =>
    one.inject({ method: 'POST', url: '/who', headers: { cookie, origin, host: 'guild.example' } })
  expect((await post('https://evil.example')).json()).toEqual({ keyId: null })
  expect((await post('https://guild.example')).json()).toEqual({ keyId: 'key_1' })
})
