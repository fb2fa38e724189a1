import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isGuildError } from '../../kernel/errors.ts'
import { HomeLock, lockHolder } from './home-lock.ts'

const child = fileURLToPath(new URL('../../../test/database-child.ts', import.meta.url))

describe('HomeLock', () => {
  let home: string
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'guild lock '))
  })
  afterEach(() => rm(home, { recursive: true, force: true }))

  const file = () => join(home, 'guild.lock')
  const stale = async (change: object = {}) => {
    const lock = await HomeLock.acquire(home)
    const holder = JSON.parse(await readFile(file(), 'utf8')) as object
    await lock.release()
    await writeFile(file(), JSON.stringify({ ...holder, started: 'another boot 1', ...change }))
  }

  it('tells the second one who holds it, since when, and where to reach it', async () => {
    const lock = await HomeLock.acquire(home)
    await expect(HomeLock.acquire(home)).rejects.toMatchObject({
      code: 'GUILD_DATABASE_LOCKED',
      details: { home, pid: process.pid, since: expect.stringMatching(/^20/) },
    })
    await lock.publish('http://127.0.0.1:8081')
    await expect(HomeLock.acquire(home)).rejects.toMatchObject({ details: { url: 'http://127.0.0.1:8081' } })
    expect(await lockHolder(home)).toMatchObject({ pid: process.pid, url: 'http://127.0.0.1:8081' })
    await lock.release()
  })

  it('leaves nothing behind', async () => {
    const lock = await HomeLock.acquire(home)
    await lock.publish('http://x')
    await lock.release()
    expect(await readdir(home)).toEqual([])
    expect(await lockHolder(home)).toBeNull()
    await (await HomeLock.acquire(home)).release()
  })

  it('takes over from a process that was killed', async () => {
    const holder = await start('lock')
    expect(await holder.line()).toBe('won')
    await expect(HomeLock.acquire(home)).rejects.toMatchObject({ details: { pid: holder.pid } })
    await holder.kill()
    expect(await lockHolder(home)).toBeNull()
    await (await HomeLock.acquire(home)).release()
    expect(await readdir(home)).toEqual([])
  })

  it('takes over when another process has the pid now', async () => {
    await stale({ pid: process.pid })
    expect(await lockHolder(home)).toBeNull()
    await (await HomeLock.acquire(home)).release()
  })

  it('lets one of many starters in one process win a dead lock', async () => {
    await stale()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => HomeLock.acquire(home)))
    const won = results.filter((result) => result.status === 'fulfilled').map((result) => result.value)
    const lost = results.filter((result) => result.status === 'rejected').map((result): unknown => result.reason)
    expect(won).toHaveLength(1)
    expect(lost.every((reason) => isGuildError(reason, 'GUILD_DATABASE_LOCKED'))).toBe(true)
    await won[0]?.release()
    expect(await readdir(home)).toEqual([])
  })

  it('lets one of many processes win a dead lock', async () => {
    await stale()
    const starters = await Promise.all(Array.from({ length: 5 }, () => start('lock')))
    const lines = await Promise.all(starters.map((starter) => starter.line()))
    const winner = starters[lines.indexOf('won')]
    expect(lines.filter((line) => line === 'won')).toHaveLength(1)
    expect(lines.filter((line) => line === `lost GUILD_DATABASE_LOCKED ${winner?.pid}`)).toHaveLength(4)
    await Promise.all(starters.map((starter) => starter.kill()))
  })

  it('believes a holder in another container while it touches the lock, and takes over when it is silent', async () => {
    await stale({ where: 'another host' })
    const touching = setInterval(() => void utimes(file(), new Date(), new Date()), 50)
    await expect(HomeLock.acquire(home, { silenceMs: 2000 })).rejects.toMatchObject({ code: 'GUILD_DATABASE_LOCKED' })
    clearInterval(touching)
    await (await HomeLock.acquire(home, { silenceMs: 600 })).release()
  })

  it('notices that it was taken away', async () => {
    const lock = await HomeLock.acquire(home)
    await rm(file())
    await expect(lock.publish('http://x')).rejects.toMatchObject({ code: 'GUILD_INTERNAL' })
    await expect(lock.release()).rejects.toMatchObject({ code: 'GUILD_INTERNAL' })
  })

  async function start(task: string) {
    const running = spawn(process.execPath, [child, task, home], { stdio: ['ignore', 'pipe', 'inherit'] })
    const lines = createInterface({ input: running.stdout })[Symbol.asyncIterator]()
    await once(running, 'spawn')
    return {
      pid: running.pid,
      line: async () => String((await lines.next()).value),
      kill: async () => {
        if (running.exitCode !== null || running.signalCode !== null) return
        running.kill('SIGKILL')
        await once(running, 'exit')
      },
    }
  }
})
