import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadSettings } from '../config/settings.ts'
import { announce, localAdminKey } from '../processes/presence.ts'
import { openClient } from './client.ts'

const keys: (string | undefined)[] = []
const server = createServer((request, response) => {
  if (request.url !== '/healthz') keys.push(request.headers.authorization)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ pid: process.pid }))
})
let home: string
let url: string

beforeEach(async () => {
  keys.length = 0
  home = await mkdtemp(join(tmpdir(), 'guild-client-'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  await new Promise<unknown>((resolve) => server.close(resolve))
  await rm(home, { recursive: true, force: true })
})

describe('the admin key of this machine', () => {
  it('is not sent to a guild elsewhere', async () => {
    await localAdminKey(home)
    const client = await openClient(loadSettings({ GUILD_HOME: home, GUILD_URL: url }))
    await client.get('/api/v1/status')
    expect(keys).toEqual([undefined])
  })

  it('opens the guild of its own home, also when that is named by its URL', async () => {
    const key = (await localAdminKey(home)).reveal()
    await announce(home, url, new Date())
    for (const env of [{ GUILD_HOME: home }, { GUILD_HOME: home, GUILD_URL: url }])
      await (await openClient(loadSettings(env))).get('/api/v1/status')
    expect(keys).toEqual([`Bearer ${key}`, `Bearer ${key}`])
  })

  it('gives way to GUILD_API_KEY', async () => {
    await localAdminKey(home)
    const env = { GUILD_HOME: home, GUILD_URL: url, GUILD_API_KEY: 'guild_theirs' }
    await (await openClient(loadSettings(env))).get('/api/v1/status')
    expect(keys).toEqual(['Bearer guild_theirs'])
  })
})
