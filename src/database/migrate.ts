import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { GuildError } from '../kernel/errors.ts'
import { sha256 } from '../kernel/ids.ts'
import { sqlState, type Database, type MigratableDatabase, type Queryable } from './database.ts'
import { statements } from './statements.ts'

const sql = statements(import.meta.url, './migrate.sql', ['lockMigrations', 'createTable', 'applied', 'record'])

export interface Migration {
  readonly version: number
  readonly file: string
  readonly text: string
  readonly sha256: string
}

/** `have`: the highest version applied (0: an empty database); `need`: the highest version this program knows. */
export interface SchemaState {
  readonly have: number
  readonly need: number
}

/**
 * Applies the migrations that are missing, each in its own transaction and under a lock, so that two processes may start at once.
 * @returns the files applied
 * @throws GUILD_MIGRATION_CHANGED when a file applied earlier has other content now
 */
export async function migrate(
  db: MigratableDatabase,
  migrations: readonly Migration[] = loadMigrations(),
): Promise<readonly string[]> {
  await db.transaction(async (tx) => {
    await tx.query(sql.lockMigrations)
    await tx.script(sql.createTable.text)
  })
  const files: string[] = []
  for (const migration of migrations) {
    const done = await db.transaction(async (tx) => {
      await tx.query(sql.lockMigrations)
      const known = (await applied(tx)).get(migration.version)
      if (known !== undefined) return refuseChanged(migration, known)
      await tx.script(migration.text)
      await tx.query(sql.record, [migration.version, migration.file, migration.sha256])
      return true
    })
    if (done) files.push(migration.file)
  }
  return files
}

/** Where the database stands and where this program stands. */
export async function schemaState(
  db: Database,
  migrations: readonly Migration[] = loadMigrations(),
): Promise<SchemaState> {
  const need = Math.max(0, ...migrations.map((migration) => migration.version))
  try {
    const known = await applied(db)
    // A gap counts: what stands above it may need what is missing.
    const gap = migrations.findIndex(({ version }) => !known.has(version))
    const have = gap === -1 ? Math.max(0, ...known.keys()) : (migrations[gap - 1]?.version ?? 0)
    return { have, need }
  } catch (error) {
    // 3F000 no such schema, 42P01 no such table: nothing was ever migrated here.
    if (['3F000', '42P01'].includes(sqlState(error) ?? '')) return { have: 0, need }
    throw error
  }
}

/** @throws GUILD_SCHEMA_BEHIND, GUILD_SCHEMA_AHEAD */
export async function requireSchema(db: Database, migrations?: readonly Migration[]): Promise<void> {
  const { have, need } = await schemaState(db, migrations)
  if (have < need) throw new GuildError('GUILD_SCHEMA_BEHIND', { have, need })
  if (have > need) throw new GuildError('GUILD_SCHEMA_AHEAD', { have, need })
}

/** The files `NNNN_name.sql` of `folder` in order. */
export function loadMigrations(
  folder = fileURLToPath(new URL('./migrations/', import.meta.url)),
): readonly Migration[] {
  const migrations = readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => {
      const version = Number(/^(\d{4})_\w+\.sql$/.exec(file)?.[1])
      if (!Number.isInteger(version)) throw new Error(`${folder}${file} is not named NNNN_name.sql`)
      const text = readFileSync(`${folder}/${file}`, 'utf8')
      return { version, file, text, sha256: sha256(text) }
    })
  for (const [index, migration] of migrations.entries()) {
    const twin = migrations[index + 1]
    if (twin?.version === migration.version) throw new Error(`${migration.file} and ${twin.file} have the same number`)
  }
  return migrations
}

const appliedRows = z.array(z.object({ version: z.int(), sha256: z.string() }))

async function applied(db: Queryable): Promise<ReadonlyMap<number, string>> {
  const { rows } = await db.query(sql.applied)
  return new Map(appliedRows.parse(rows).map((row) => [row.version, row.sha256]))
}

function refuseChanged(migration: Migration, known: string): false {
  if (known === migration.sha256) return false
  throw new GuildError('GUILD_MIGRATION_CHANGED', { file: migration.file })
}
