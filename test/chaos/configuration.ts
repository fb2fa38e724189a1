import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openHomeDatabase } from '../../src/database/pglite/home-database.ts'
import { PostgresDatabase } from '../../src/database/postgres/postgres-database.ts'
import type { Database } from '../../src/database/database.ts'
import { webhookSecret } from './deliveries.ts'
import type { Config } from './options.ts'
import type { PostgresServer } from './postgres-server.ts'
import { type Env, guildCommand, GuildProcess } from './process.ts'
import type { Proxy } from './proxy.ts'
import { login } from './target.ts'

/** The guild of one configuration, and how its books are opened once it has stopped. */
export interface Guild {
  readonly processes: readonly GuildProcess[]
  /** for commands of the CLI */
  readonly env: Env
  readonly openBooks: () => Promise<Database>
}

export interface GuildParts {
  readonly config: Config
  readonly folder: string
  readonly codex: string
  readonly artifacts: string
  readonly target: Proxy
}

export function embeddedGuild(parts: GuildParts): Guild {
  const up = new GuildProcess({ ...common(parts), name: 'guild', args: ['up'] })
  return {
    processes: [up],
    env: { ...common(parts).env, GUILD_HOME: up.home },
    openBooks: async () => (await openHomeDatabase(up.home)).db,
  }
}

/** Every role its own process, and two of those that share work. */
const roles = [
  'gateway',
  'dispatcher-1',
  'dispatcher-2',
  'scheduler',
  'registry',
  'executor-1',
  'executor-2',
  'actions-1',
  'actions-2',
  'audit',
] as const

export interface Stores {
  readonly postgres: PostgresServer
  readonly postgresProxy: Proxy
  /** null: the bus is in PostgreSQL */
  readonly redisProxy: Proxy | null
}

/** On servers; the processes go through the proxies, the commands that check the books do not. */
export async function servedGuild(parts: GuildParts, stores: Stores): Promise<Guild> {
  const { postgres, postgresProxy, redisProxy } = stores
  const { env, ...rest } = common(parts)
  const bus: Env = redisProxy ? { EVENT_BUS_URL: `redis://127.0.0.1:${redisProxy.port}` } : {}
  const through: Env = { ...env, ...bus, DATABASE_URL: postgres.url(postgresProxy.port) }
  const direct: Env = { ...env, ...bus, DATABASE_URL: postgres.url(), GUILD_HOME: join(parts.folder, 'homes', 'cli') }
  const migrated = await guildCommand(['migrate'], direct)
  if (migrated.code !== 0) throw new Error(`guild migrate: ${migrated.output}`)
  const processes = roles.map(
    (name) => new GuildProcess({ ...rest, env: through, name, args: ['run', name.replace(/-\d$/, '')] }),
  )
  return { processes, env: direct, openBooks: () => PostgresDatabase.open({ url: postgres.url() }) }
}

function common({ folder, codex, artifacts, target }: GuildParts) {
  const env: Env = {
    CODEX_URL: codex,
    ARTIFACTS_URL: `file:${artifacts}`,
    GITHUB_API_URL: `http://127.0.0.1:${target.port}`,
    GITHUB_TOKEN: 'a-token-of-the-chaos-target',
    GITHUB_BOT_LOGIN: login,
    GITHUB_WEBHOOK_SECRET: webhookSecret,
    GUILD_LIVE: 'github',
    LOG_LEVEL: 'warn',
  }
  return { folder, env, faketime: faketimeLibrary() }
}

/** Debian keeps it out of the usual folders. The one for threads: the embedded database is one. */
function faketimeLibrary(): string | null {
  const root = '/usr/lib'
  const folders = existsSync(root) ? readdirSync(root).map((name) => join(root, name, 'faketime')) : []
  const found = folders.map((folder) => join(folder, 'libfaketimeMT.so.1')).find((file) => existsSync(file))
  return found ?? null
}
