import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openHomeDatabase } from '../../src/database/pglite/home-database.ts'
import type { Database } from '../../src/database/database.ts'
import { webhookSecret } from './deliveries.ts'
import type { Config } from './options.ts'
import { type Env, GuildProcess } from './process.ts'
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

export function common({ folder, codex, artifacts, target }: GuildParts) {
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
