import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { localAdminKey, renewAdminKey } from './presence.ts'

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
