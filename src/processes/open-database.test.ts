import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { templateDump } from '../../test/database.ts'
import { testPostgres } from '../../test/postgres.ts'
import { loadMigrations } from '../database/migrate.ts'
import { LocalEngine } from '../database/pglite/engine.ts'
import { Secret } from '../kernel/secret.ts'
import { openDatabase } from './open-database.ts'

const server = await testPostgres()
const all = loadMigrations().map(({ file }) => file)

it('opens and migrates the embedded database when there is no DATABASE_URL', { timeout: 120_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), 'guild home '))
  // Initialising takes seconds and has its own test: this one begins with a database that lost its schemas.
  const engine = await LocalEngine.open({ folder: join(home, 'db'), dump: await templateDump() }, () => undefined)
  await engine.script('DROP SCHEMA guild_cache, guild_core, guild_bus, guild_ledger, guild_audit CASCADE')
  await engine.close()
  {
    await using first = await openDatabase({ home, databaseUrl: undefined })
    expect(first.db.kind).toBe('pglite')
    expect(first.migrated).toEqual(all)
  }
  await using second = await openDatabase({ home, databaseUrl: undefined })
  expect(second.migrated).toEqual([])
  await second.db.close()
  await rm(home, { recursive: true })
})

it.skipIf(server === null)('refuses a server that is behind until told to migrate it', async () => {
  const url = new Secret((await server?.newDatabase('empty')) ?? '')
  await expect(openDatabase({ home: '', databaseUrl: url })).rejects.toMatchObject({ code: 'GUILD_SCHEMA_BEHIND' })
  {
    await using migrated = await openDatabase({ home: '', databaseUrl: url }, { migrate: true })
    expect(migrated.migrated).toEqual(all)
  }
  await using opened = await openDatabase({ home: '', databaseUrl: url })
  expect(opened).toMatchObject({ migrated: [], db: { kind: 'postgres' } })
})
