import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openHomeDatabase } from './home-database.ts'

const child = fileURLToPath(new URL('../../../test/database-child.ts', import.meta.url))

// Initialising takes 5 s of a whole core, and the suites of others share the machine.
describe('openHomeDatabase', { timeout: 120_000 }, () => {
  let home: string
  beforeAll(async () => {
    home = join(await mkdtemp(join(tmpdir(), 'guild home ')), 'new', '.guild')
  })
  afterAll(() => rm(join(home, '..', '..'), { recursive: true, force: true }))

  it('creates the folder, also where a first start was killed half-way, and leaves no lock', async () => {
    await mkdir(join(home, 'db.new'), { recursive: true })
    await writeFile(join(home, 'db.new', 'PG_VERSION'), '18\n')
    const { db, publish } = await openHomeDatabase(home)
    await publish('http://127.0.0.1:8080')
    await expect(openHomeDatabase(home)).rejects.toMatchObject({
      code: 'GUILD_DATABASE_LOCKED',
      details: { url: 'http://127.0.0.1:8080' },
    })
    await db.close()
    await db.close()
    expect(await readdir(home)).toEqual(['db'])
  })

  it('loses no acknowledged row in a process killed while it writes', async () => {
    const acknowledged: string[] = []
    for (let round = 0; round < 3; round += 1) acknowledged.push(...(await writeUntil(100 + round * 40, 'SIGKILL')))
    const { db } = await openHomeDatabase(home)
    const { rows } = await db.query<{ name: string }>(
      {
        name: '',
        text: 'SELECT name FROM guild_core.breakers WHERE name = ANY ($1::text[])',
      },
      [acknowledged],
    )
    await db.close()
    expect(rows).toHaveLength(acknowledged.length)
    expect(acknowledged.length).toBeGreaterThanOrEqual(420)
  })

  it('closes cleanly when asked to stop, and the process ends by itself', async () => {
    expect(await writeUntil(20, 'SIGTERM')).toContain('closed')
    expect(await readdir(home)).toEqual(['db'])
  })

  /** @returns what the process had acknowledged before it ended */
  async function writeUntil(count: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<readonly string[]> {
    const running = spawn(process.execPath, [child, 'write', home], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exit = once(running, 'exit')
    const words: string[] = []
    for await (const line of createInterface({ input: running.stdout })) {
      const name = /^wrote (.+)$/.exec(line)?.[1]
      if (name !== undefined) words.push(name)
      if (line === 'closed') words.push(line)
      if (words.length === count) running.kill(signal)
    }
    expect(await exit).toEqual(signal === 'SIGKILL' ? [null, 'SIGKILL'] : [0, null])
    return words
  }
})
