import type { Settings } from '../config/settings.ts'
import type { Database } from '../database/database.ts'
import { migrate, requireSchema } from '../database/migrate.ts'
import { openHomeDatabase } from '../database/pglite/home-database.ts'
import { PostgresDatabase } from '../database/postgres/postgres-database.ts'
import { isGuildError } from '../kernel/errors.ts'
import { makeParts } from '../retention/parts.ts'

export interface OpenedDatabase extends AsyncDisposable {
  readonly db: Database
  /** The migrations that were applied now; empty when the schema was current. */
  readonly migrated: readonly string[]
  /** Tells whoever finds the embedded database locked where this process can be reached; nothing to tell on a server. */
  readonly publish: (url: string) => Promise<void>
}

/**
 * The database of the settings: a PostgreSQL server with DATABASE_URL, else the embedded one in GUILD_HOME. The embedded one brings its
 * schema up to date by itself; a server is migrated only when asked to (`guild migrate`).
 * @throws GUILD_DATABASE_UNAVAILABLE, GUILD_DATABASE_LOCKED, GUILD_SCHEMA_BEHIND, GUILD_SCHEMA_AHEAD, GUILD_MIGRATION_CHANGED
 */
export async function openDatabase(
  settings: Pick<Settings, 'home' | 'databaseUrl'> & Partial<Pick<Settings, 'databaseConnections'>>,
  options: { readonly migrate?: boolean } = {},
): Promise<OpenedDatabase> {
  const { databaseUrl, home, databaseConnections: connectionsMax = 10 } = settings
  const { db, publish } =
    databaseUrl === undefined
      ? await openHomeDatabase(home)
      : {
          db: await PostgresDatabase.open({ url: databaseUrl.reveal(), connectionsMax }),
          publish: () => Promise.resolve(),
        }
  try {
    const own = options.migrate ?? db.kind === 'pglite'
    const migrated = own ? await migrate(db) : []
    await requireSchema(db)
    if (own) await partsAtLast(db)
    return { db, migrated, publish, [Symbol.asyncDispose]: () => db.close() }
  } catch (error) {
    await db.close()
    throw error
  }
}

/** Parts of what comes; a database that stood still for months has none. Somebody who reads a table for long may hold one up. */
async function partsAtLast(db: Database): Promise<void> {
  try {
    await makeParts(db)
  } catch (error) {
    // No insert needs them: the rest takes the rows, and housekeeping makes the parts within the hour.
    if (!isGuildError(error, 'GUILD_DATABASE_REFUSED')) throw error
  }
}
