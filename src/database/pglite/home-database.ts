import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { GuildError } from '../../kernel/errors.ts'
import { HomeLock } from './home-lock.ts'
import { PgliteDatabase } from './pglite-database.ts'
import { unpackTemplate } from './template.ts'

// From source Node runs the .ts; the build leaves a .js beside this file's .js.
const script = fileURLToPath(new URL(`./initialise.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url))
// Five seconds of one core; a small machine under load takes many times that.
const createMs = 180_000

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
    if (!existsSync(folder)) await create(home, folder)
    const db = await PgliteDatabase.open(folder, () => lock.release())
    return { db, publish: (url) => lock.publish(url) }
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** Under another name first: a half-made folder of a process killed on its first start would be taken for a database. */
async function create(home: string, folder: string): Promise<void> {
  const drafts = (await readdir(home)).filter((name) => name.startsWith('db.new'))
  for (const name of drafts) await rm(join(home, name), { recursive: true, force: true, maxRetries: 5 })
  const draft = join(home, `db.new-${randomUUID()}`)
  if (!(await unpackTemplate(draft))) await initialise(home, draft)
  await rename(draft, folder)
}

/** PostgreSQL's own way, for a PGlite that no template was made for. */
async function initialise(home: string, draft: string): Promise<void> {
  const child = spawn(process.execPath, [script, draft], {
    stdio: ['pipe', 'ignore', 'pipe'],
    signal: AbortSignal.timeout(createMs),
  })
  const [[code], message] = await Promise.all([once(child, 'exit'), text(child.stderr)])
  const why = `it could not be created in ${home}: ${message.trim().slice(-500) || String(code)}`
  if (code !== 0) throw new GuildError('GUILD_DATABASE_UNAVAILABLE', { why })
}
