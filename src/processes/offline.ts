import type { FastifyInstance } from 'fastify'
import type { Settings } from '../config/settings.ts'
import type { Secret } from '../kernel/secret.ts'
import { Guild } from './guild.ts'
import { logger } from './logger.ts'
import { localAdminKey } from './presence.ts'

export interface Offline {
  readonly http: FastifyInstance
  readonly key: Secret
  close(): Promise<void>
}

/** The API over the database of this GUILD_HOME, in this process and without a socket: for commands while no server runs. */
export async function openOffline(settings: Settings): Promise<Offline> {
  const log = logger({ logLevel: 'error' })
  const guild = await Guild.open({ settings, env: process.env, roles: [], version: 'offline', log })
  const key = await localAdminKey(settings.home)
  await guild.keys.adopt('admin', 'admin', key, new Date())
  return { http: guild.http, key, close: () => guild[Symbol.asyncDispose]() }
}
