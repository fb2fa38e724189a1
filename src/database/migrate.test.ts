import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testPostgres } from '../../test/postgres.ts'
import { sha256 } from '../kernel/ids.ts'
import type { MigratableDatabase } from './database.ts'
import { loadMigrations, migrate, requireSchema, schemaState, type Migration } from './migrate.ts'
import { PgliteDatabase } from './pglite/pglite-database.ts'
import { PostgresDatabase } from './postgres/postgres-database.ts'

const server = await testPostgres()

const one = migration(1, 'CREATE TABLE one (a int); INSERT INTO one VALUES (1);')
const two = migration(2, 'CREATE TABLE two (a int);')
const broken = migration(3, 'CREATE TABLE three (a int); SELECT nonsense;')

suite('embedded', () => PgliteDatabase.inMemory())
if (server !== null) suite('on a server', async () => PostgresDatabase.open({ url: await server.newDatabase('empty') }))

describe('loadMigrations', () => {
  it('reads the files of a folder in order and refuses two of one number or a wrong name', async () => {
    const folder = `${await mkdtemp(join(tmpdir(), 'guild migrations '))}/`
    await writeFile(join(folder, '0002_b.sql'), 'b')
    await writeFile(join(folder, '0001_a.sql'), 'a')
    expect(loadMigrations(folder)).toEqual([
      { version: 1, file: '0001_a.sql', text: 'a', sha256: sha256('a') },
      { version: 2, file: '0002_b.sql', text: 'b', sha256: sha256('b') },
    ])
    await writeFile(join(folder, '0002_c.sql'), 'c')
    expect(() => loadMigrations(folder)).toThrow('same number')
    await writeFile(join(folder, 'new.sql'), 'd')
    expect(() => loadMigrations(folder)).toThrow('NNNN_name.sql')
    await rm(folder, { recursive: true })
  })

  it('has no gap among its own', () => {
    const versions = loadMigrations().map(({ version }) => version)
    expect(versions).toEqual(versions.map((_, index) => index + 1))
  })
})

function suite(name: string, open: () => Promise<MigratableDatabase>): void {
  describe(`migrate ${name}`, () => {
    let db: MigratableDatabase
    beforeAll(async () => {
      db = await open()
    })
    afterAll(() => db.close())
    const query = async (text: string) => (await db.query({ name: '', text })).rows

    it('stands at 0 before anything', async () => {
      expect(await schemaState(db, [one])).toEqual({ have: 0, need: 1 })
      await expect(requireSchema(db, [one])).rejects.toMatchObject({
        code: 'GUILD_SCHEMA_BEHIND',
        details: { have: 0, need: 1 },
      })
    })

    it('applies what is missing, once, also when two start together', async () => {
      const applied = await Promise.all([migrate(db, [one]), migrate(db, [one])])
      expect(applied.flat()).toEqual(['0001_m.sql'])
      expect(await migrate(db, [one, two])).toEqual(['0002_m.sql'])
      expect(await migrate(db, [one, two])).toEqual([])
      expect(await query('SELECT a FROM one')).toEqual([{ a: 1 }])
      await requireSchema(db, [one, two])
    })

    it('keeps nothing of a migration that fails, and the ones before it', async () => {
      await expect(migrate(db, [one, two, broken])).rejects.toMatchObject({ code: 'GUILD_DATABASE_REFUSED' })
      expect(await query("SELECT to_regclass('three') AS three")).toEqual([{ three: null }])
      expect(await schemaState(db, [one, two])).toEqual({ have: 2, need: 2 })
    })

    it('counts a gap as missing: what stands above it may need it', async () => {
      const between = { ...two, version: 2, file: '0002_between.sql' }
      const above = { ...two, version: 3, file: '0003_m.sql' }
      await db.transaction((tx) => tx.script('UPDATE guild_core.schema_migrations SET version = 3 WHERE version = 2'))
      expect(await schemaState(db, [one, between, above])).toEqual({ have: 1, need: 3 })
      await expect(requireSchema(db, [one, between, above])).rejects.toMatchObject({ code: 'GUILD_SCHEMA_BEHIND' })
      await db.transaction((tx) => tx.script('UPDATE guild_core.schema_migrations SET version = 2 WHERE version = 3'))
    })

    it('refuses a file that has changed since', async () => {
      const changed = { ...one, sha256: sha256('other') }
      await expect(migrate(db, [changed, two])).rejects.toMatchObject({
        code: 'GUILD_MIGRATION_CHANGED',
        details: { file: '0001_m.sql' },
      })
    })

    it('tells a database that is ahead of this program', async () => {
      await expect(requireSchema(db, [one])).rejects.toMatchObject({ code: 'GUILD_SCHEMA_AHEAD' })
    })

    it('brings an empty database to the schema of this version', async () => {
      await db.transaction((tx) => tx.script('DROP SCHEMA guild_core CASCADE'))
      const files = await migrate(db)
      expect(files).toEqual(loadMigrations().map(({ file }) => file))
      await requireSchema(db)
    })
  })
}

function migration(version: number, text: string): Migration {
  return { version, file: `000${version}_m.sql`, text, sha256: sha256(text) }
}
