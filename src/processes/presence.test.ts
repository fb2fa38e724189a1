import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createServer } from 'node:http'
import { announce, localAdminKey, renewAdminKey, runningAt, withdraw } from './presence.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'guild-presence-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

describe('the admin key of a GUILD_HOME', () => {
  it('is one, however many processes start there at once', async () => {
    const keys = await Promise.all(Array.from({ length: 12 }, () => localAdminKey(home)))
    expect(new Set(keys.map((key) => key.reveal())).size).toBe(1)
    expect(await readdir(home)).toEqual(['admin.key'])
  })

  it('is never empty, also when a crash has left an empty file', async () => {
    await writeFile(join(home, 'admin.key'), '')
    expect((await localAdminKey(home)).reveal()).toMatch(/^guild_.{40,}/)
  })

  it('is replaced once when it has been revoked', async () => {
    const revoked = await localAdminKey(home)
    const fresh = await renewAdminKey(home, revoked)
    expect(fresh.reveal()).not.toBe(revoked.reveal())
    expect((await renewAdminKey(home, revoked)).reveal()).toBe(fresh.reveal())
    expect((await localAdminKey(home)).reveal()).toBe(fresh.reveal())
  })
})

describe('several servers of one home', () => {
  it('leave each other alone, and one that still answers is found', async () => {
    const answering = createServer((_, response) => response.end(JSON.stringify({ ok: true, pid: process.pid })))
    await new Promise<void>((resolve) => answering.listen(0, '127.0.0.1', resolve))
    const address = answering.address()
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
    try {
      const dead = { pid: 1, url: 'http://127.0.0.1:9', since: new Date().toISOString() }
      await writeFile(join(home, 'server-crashed.json'), JSON.stringify(dead))
      await announce(home, url, new Date(), 'pod-a-1')
      await announce(home, url, new Date(), 'pod-b-2')
      // What a crash has left is cleared away by whoever comes next.
      expect((await readdir(home)).toSorted()).toEqual(['server-pod-a-1.json', 'server-pod-b-2.json'])
      await withdraw(home, 'pod-a-1')
      expect(await runningAt(home)).toBe(url)
      await withdraw(home, 'pod-b-2')
      expect(await runningAt(home)).toBeNull()
    } finally {
      answering.close()
    }
  })
})
