import type { Settings } from '../config/settings.ts'
import type { Keys } from '../http/auth.ts'
import { GuildError, isGuildError } from '../kernel/errors.ts'
import type { Secret } from '../kernel/secret.ts'
import { localAdminKey, renewAdminKey } from './presence.ts'

/**
 * The id of an admin key for sign-in links: of GUILD_ADMIN_KEY, which is made known; else of the home's own.
 * @param apart a process whose home may be gone tomorrow: each start would leave an admin key behind, so the given one is enough
 * @throws GUILD_CONFIG_INVALID when GUILD_ADMIN_KEY was revoked
 */
export async function adminKeyId(
  keys: Keys,
  { adminKey: given, home }: Pick<Settings, 'adminKey' | 'home'>,
  apart: boolean,
): Promise<string> {
  const known = given && (await adoptGiven(keys, given))
  return known !== undefined && apart ? known : (await adminKey(keys, home)).id
}

async function adoptGiven(keys: Keys, given: Secret): Promise<string> {
  try {
    return await keys.adopt('admin', 'admin', given, new Date())
  } catch (error) {
    if (!isGuildError(error, 'GUILD_UNAUTHENTICATED')) throw error
    const why = 'this key was revoked; give another one'
    throw new GuildError('GUILD_CONFIG_INVALID', { name: 'GUILD_ADMIN_KEY', why }, { cause: error })
  }
}

/** The admin key of this GUILD_HOME, known to the database. One that was revoked there is replaced: who owns the folder is the owner. */
export async function adminKey(keys: Keys, home: string): Promise<{ readonly id: string; readonly key: Secret }> {
  const key = await localAdminKey(home)
  try {
    return { id: await keys.adopt('admin', 'admin', key, new Date()), key }
  } catch (error) {
    if (!isGuildError(error, 'GUILD_UNAUTHENTICATED')) throw error
    const fresh = await renewAdminKey(home, key)
    return { id: await keys.adopt('admin', 'admin', fresh, new Date()), key: fresh }
  }
}
