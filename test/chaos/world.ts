import type { Config } from './options.ts'
import type { Deliveries } from './deliveries.ts'
import type { GuildProcess } from './process.ts'
import type { PostgresServer } from './postgres-server.ts'
import type { Proxy } from './proxy.ts'
import type { RedisServer } from './redis-server.ts'
import type { FakeTarget } from './target.ts'

/** Everything a fault can get at. */
export interface World {
  readonly config: Config
  readonly folder: string
  readonly processes: readonly GuildProcess[]
  /** those that faults may hit */
  readonly victims: readonly GuildProcess[]
  readonly target: FakeTarget
  readonly deliveries: Deliveries
  readonly postgres: PostgresServer | null
  readonly redis: RedisServer | null
  readonly deliveriesMax: number
  /** Fills the disk of the artifacts, and gives back what empties it; null: this machine does not let us. */
  readonly disk: { readonly fill: (() => Promise<() => Promise<void>>) | null }
  /** in front of the target; in front of the stores where there are any */
  readonly proxies: { readonly target: Proxy; readonly postgres: Proxy | null; readonly redis: Proxy | null }
}
