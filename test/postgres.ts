import { afterAll } from 'vitest'
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { findPostgres, PostgresServer } from './postgres-server.ts'

/**
 * A fresh migrated database on a PostgreSQL server that belongs to this test file, or null, with the reason printed, when the machine
 * has no PostgreSQL. With `postgres` in GUILD_TEST_REQUIRE its absence fails.
 */
export async function openTestPostgres(): Promise<PostgresDatabase | null> {
  const server = await testPostgres()
  return server === null ? null : PostgresDatabase.open({ url: await server.newDatabase() })
}

/** The server itself, for tests that stop it. One per test file; it ends with the file. */
export async function testPostgres(): Promise<PostgresServer | null> {
  started ??= start()
  return started
}

let started: Promise<PostgresServer | null> | undefined
afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

async function start(): Promise<PostgresServer | null> {
  const binaries = findPostgres()
  if (binaries !== null) return PostgresServer.start(binaries)
  const reason = 'no PostgreSQL binaries in /usr/lib/postgresql/*/bin or on the PATH'
  if (process.env['GUILD_TEST_REQUIRE']?.includes('postgres')) throw new Error(reason)
  process.stderr.write(`skipped: tests on a PostgreSQL server (${reason}; apt-get install postgresql)\n`)
  return null
}
