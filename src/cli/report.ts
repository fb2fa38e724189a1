import { CommanderError } from 'commander'
import { isGuildError, reasonOf } from '../kernel/errors.ts'
import { RemoteError } from './client.ts'
import { paint, printable } from './print.ts'

/** Says on stderr what went wrong and what to do about it. @returns the exit code: 1 failed with a reason, 2 wrong usage */
export function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  console.error(`${paint.red('error')}  ${printable(reasonOf(error))}`)
  if (isGuildError(error) || error instanceof RemoteError) {
    console.error(`${paint.dim('fix')}    ${error.fix}`)
    console.error(`${paint.dim('code')}   ${error.code}`)
  } else if (process.env['LOG_LEVEL'] === 'debug') console.error(error)
  return 1
}
