import type { MigratableDatabase } from '../src/database/database.ts'
import type { PostgresServer } from '../test/postgres-server.ts'
import type { RedisServer } from './redis-server.ts'

/** One benchmark: one file, one line in the list of `main.ts`. */
export interface BenchCase {
  /** as it is called: `npm run bench -- b4` */
  readonly name: string
  readonly title: string
  /** Markdown for docs/benchmarks.md: what is measured, what the floor and the peers were given. */
  readonly method: string
  run(lab: Lab): Promise<Outcome>
}

export interface Outcome {
  readonly tables: readonly Table[]
  readonly floors: readonly Floor[]
}

export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number | null)[])[]
}

/** What a figure must reach. */
export type Floor = {
  readonly what: string
  /** null: it could not be measured here, and `why` says so */
  readonly figure: number | null
  readonly unit: string
  readonly why?: string
} & ({ readonly min: number } | { readonly max: number })

/** `redis`: PostgreSQL for the rows and Redis for the bus. */
export type StoreKind = 'postgres' | 'pglite'

export interface Store extends AsyncDisposable {
  readonly database: MigratableDatabase
  /** what another process opens: a URL of PostgreSQL, or the folder of an embedded one (one process at a time) */
  readonly at: { readonly url: string } | { readonly home: string }
}

/** What a case may use: real stores with the durability of production, started on first use and stopped at the end. */
export interface Lab {
  /** fewer repetitions and shorter samples: to see that it works, not to quote */
  readonly quick: boolean
  /** of each contender, interleaved */
  readonly repetitions: number
  /** progress, on standard error */
  say(line: string): void
  postgres(): Promise<PostgresServer>
  /** One server per durability. null, with the reason said, where there is no redis-server. */
  redis(appendfsync: 'everysec' | 'always'): Promise<RedisServer | null>
  /** A new database with the current schema. */
  store(kind: StoreKind): Promise<Store>
}
