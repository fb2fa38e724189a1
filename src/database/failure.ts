import { GuildError, reasonOf } from '../kernel/errors.ts'
import { sqlState } from './database.ts'

// 08 connection exception, 53300 too many connections, 57P01–57P03 shut down, crashed, starting up:
// https://www.postgresql.org/docs/current/errcodes-appendix.html
const gone = /^(08...|53300|57P0[123])$/

// 28 wrong user or password, 3D000 no such database, 42501 the user may not
const refusesUser = /^(28...|3D000|42501)$/

/** PostgreSQL answers COMMIT with ROLLBACK, and no error, when a statement has failed before: https://www.postgresql.org/docs/current/sql-commit.html */
export function abortedTransaction(): GuildError {
  const why = 'a statement of the transaction has failed, so nothing of it was kept'
  return new GuildError('GUILD_DATABASE_REFUSED', { statement: 'COMMIT', why, sqlState: '25P02' })
}

/** What an adapter throws for an error of its driver. @param statement its name, never its text or parameters */
export function databaseFailure(error: unknown, statement: string): GuildError {
  if (error instanceof GuildError) return error
  const state = sqlState(error)
  const why = reasonOf(error)
  if (state === undefined || gone.test(state))
    return new GuildError('GUILD_DATABASE_UNAVAILABLE', { why }, { cause: error })
  return refusesUser.test(state)
    ? new GuildError('GUILD_DATABASE_NO_ACCESS', { why }, { cause: error })
    : new GuildError('GUILD_DATABASE_REFUSED', { statement, why, sqlState: state }, { cause: error })
}
