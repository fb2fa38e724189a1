import { ErrorReply } from '@redis/client'
import { GuildError, reasonOf } from '../kernel/errors.ts'

/**
 * Answers that another attempt, a little later, may not get: starting, failing over, moving slots, out of memory, a script that runs too
 * long. Everything that is no answer at all (connection lost, closed, timed out) may be tried again as well.
 * https://github.com/redis/redis/blob/7.0/src/server.c (shared error objects)
 */
const passing =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|OOM|MISCONF|NOREPLICAS|UNBLOCKED|NOAUTH|WRONGPASS)\b/

/** What the adapter throws for an error of its driver. @param command its name, never its arguments */
export function redisFailure(error: unknown, command: string): GuildError {
  if (error instanceof GuildError) return error
  const why = reasonOf(error)
  return error instanceof ErrorReply && !passing.test(why)
    ? new GuildError('GUILD_REDIS_REFUSED', { command, why }, { cause: error })
    : new GuildError('GUILD_REDIS_UNAVAILABLE', { why }, { cause: error })
}

export function isNoScript(error: unknown): boolean {
  return error instanceof ErrorReply && error.message.startsWith('NOSCRIPT')
}
