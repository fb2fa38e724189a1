import type { FastifyInstance } from 'fastify'
import type { Settings } from '../config/settings.ts'
import { statements } from '../database/statements.ts'
import { systemClock } from '../kernel/clock.ts'
import type { Secret } from '../kernel/secret.ts'
import { adminKey } from './admin-key.ts'
import { Guild } from './guild.ts'
import { logger } from './logger.ts'
import { isSealed } from './sealed-home.ts'

const sql = statements(import.meta.url, './offline.sql', ['unfinishedActions'])

export interface Offline {
  readonly http: FastifyInstance
  readonly key: Secret
  /** Carries out what an approval has just released; 10 s at most, the rest waits for a server. */
  settle(): Promise<void>
  close(): Promise<void>
}

const settleMs = 10_000
const pollMs = 50

/** The API over the database of this GUILD_HOME, in this process and without a socket: for commands while no server runs. */
export async function openOffline(given: Settings): Promise<Offline> {
  const sealed = await isSealed(given.home)
  const settings = sealed ? { ...given, live: [] } : given
  const guild = await Guild.open({
    settings,
    env: process.env,
    roles: [],
    version: 'offline',
    log: logger({ logLevel: 'error' }),
    sealed,
  })
  const { key } = await adminKey(guild.keys, settings.home)
  return { http: guild.http, key, settle: () => settle(guild), close: () => guild[Symbol.asyncDispose]() }
}

async function settle(guild: Guild): Promise<void> {
  const stop = new AbortController()
  const running = guild.run(['actions', 'audit'], stop.signal)
  const until = Date.now() + settleMs
  for (;;) {
    await systemClock.sleep(pollMs)
    const { rows } = await guild.database.query<{ count: number }>(sql.unfinishedActions)
    if ((rows[0]?.count ?? 0) === 0 || Date.now() > until) break
  }
  stop.abort()
  await running
}
