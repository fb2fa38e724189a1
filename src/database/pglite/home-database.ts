import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { HomeLock } from './home-lock.ts'
import { PgliteDatabase } from './pglite-database.ts'
import { WorkerEngine } from './worker-engine.ts'

export interface HomeDatabase {
  /** Closing it releases the lock. */
  readonly db: PgliteDatabase
  /** Says where the server of this process listens, for whoever finds the lock. */
  readonly publish: (url: string) => Promise<void>
}

/**
 * The embedded database in `home`/db, created when there is none, held by a lock until it is closed.
 * @throws GUILD_DATABASE_LOCKED with pid, since and url of the process that has it open
 */
export async function openHomeDatabase(home: string): Promise<HomeDatabase> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  const lock = await HomeLock.acquire(home)
  try {
    const folder = join(home, 'db')
    if (!existsSync(folder)) await create(folder)
    const db = await PgliteDatabase.open(folder, () => lock.release())
    return { db, publish: (url) => lock.publish(url) }
  } catch (error) {
    await lock.release()
    throw error
  }
}

/**
 * In a thread that ends, because initialising leaves some 150 MB behind; and under another name, because a half-made folder of a
 * process killed on its first start would be taken for a database.
 */
async function create(folder: string): Promise<void> {
  const draft = `${folder}.new`
  await rm(draft, { recursive: true, force: true })
  const engine = await WorkerEngine.open({ folder: draft }, () => undefined)
  await engine.close()
  await rename(draft, folder)
}
