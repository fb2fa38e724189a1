import { openTestDatabase } from '../../../test/database.ts'
import { openTestPostgres } from '../../../test/postgres.ts'
import { busConformance } from '../conformance.ts'
import { postgresHarness } from './postgres-bus.conformance.ts'

busConformance('PostgresBus on the embedded database', async () => postgresHarness(await openTestDatabase()))

const server = await openTestPostgres()
if (server !== null)
  busConformance('PostgresBus on a PostgreSQL server', () => Promise.resolve(postgresHarness(server)))
