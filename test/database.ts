import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Database } from '../src/database/database.ts'
import { loadMigrations, migrate } from '../src/database/migrate.ts'
import { PgliteDatabase } from '../src/database/pglite/pglite-database.ts'
import { sha256 } from '../src/kernel/ids.ts'

/**
 * A migrated database in memory, empty, of its own. Creating one takes seconds, so the first test ever leaves a dump in
 * node_modules/.cache and all others load it.
 */
export async function openTestDatabase(): Promise<Database> {
  return PgliteDatabase.inMemory(await templateDump())
}

const cache = fileURLToPath(new URL('../node_modules/.cache/guild/', import.meta.url))

/** A migrated, empty database as `PgliteDatabase.dump` writes it. */
export async function templateDump(): Promise<Uint8Array<ArrayBuffer>> {
  const manifest = await readFile(new URL('../node_modules/@electric-sql/pglite/package.json', import.meta.url), 'utf8')
  const key = sha256([manifest, ...loadMigrations().map((migration) => migration.sha256)].join()).slice(0, 16)
  const file = `${cache}database-${key}.tar`
  try {
    return new Uint8Array(await readFile(file))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
  await using db = await PgliteDatabase.inMemory()
  await migrate(db)
  const dump = await db.dump()
  await mkdir(cache, { recursive: true })
  const outdated = (await readdir(cache)).filter(
    (name) => /^database-\w+\.tar$/.test(name) && name !== `database-${key}.tar`,
  )
  for (const name of outdated) await rm(`${cache}${name}`, { force: true })
  await writeFile(`${file}.${process.pid}`, dump)
  await rename(`${file}.${process.pid}`, file)
  return dump
}
