import type { Keys } from '../http/auth.ts'
import { isGuildError } from '../kernel/errors.ts'
import type { Secret } from '../kernel/secret.ts'
import { localAdminKey, renewAdminKey } from './presence.ts'

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
