import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readHistory } from '../../sandbox/history/read-history.ts'
import { GuildError, reasonOf } from '../../kernel/errors.ts'
import { openClientAt } from '../client.ts'
import type { CommandModule, Context } from '../main.ts'
import { version } from '../version.ts'
import { paint, printable } from '../print.ts'
import { tryHistory } from '../try/try-history.ts'
import { tryPayload } from '../try/try-payload.ts'

interface Options {
  readonly days: string
  readonly event?: string
}

export const tryCommand: CommandModule = (program, context) => {
  program
    .command('try [path]')
    .description(
      'what your agents would have done: in the last 90 days of a Git repository, or with one saved webhook body',
    )
    .option('--days <days>', 'how far back', '90')
    .option('--event <name>', 'for a payload file: the GitHub event, when it cannot be told from the body')
    .addHelpText(
      'after',
      `
It turns commits, merges, tags, reverts and forced pushes into GitHub-shaped, signed deliveries and sends them through the real
gateway, in shadow mode and into a database of its own. Your repository is only read; nothing is sent anywhere${' '}
— but to the model, when a key for one is set.`,
    )
    .action(async (path = '.', options: Options) => tryOut(context(), path, options))
}

async function tryOut(context: Context, path: string, options: Options): Promise<void> {
  const days = Number(options.days)
  if (!Number.isInteger(days) || days < 1 || days > 3_650)
    throw new GuildError('GUILD_COMMAND_INVALID', { why: `--days takes 1 to 3650, not ${options.days}` })
  const payload = await payloadAt(path)
  // Before anything starts: a folder without a history is told so at once.
  const history = payload === null ? await readHistory(path, days, new Date()) : null
  const { settings, env } = context
  const home = join(settings.home, 'try')
  const say = (text: string) => void (context.json ? process.stderr : process.stdout).write(`${printable(text)}\n`)
  say(paint.dim('Starting a guild of its own in shadow mode …'))
  const { Rehearsal } = await import('../../processes/rehearsal.ts')
  await using rehearsal = await Rehearsal.open({ settings, env, version: version(), home, live: [], rulesOnly: false })
  await using client = openClientAt(rehearsal.serving.url, home)
  const parts = { rehearsal, client, say, home, settings }
  const result =
    history === null ? await tryPayload(parts, payload, options.event) : await tryHistory(parts, path, history, days)
  if (context.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
}

/** null: the path is a folder. */
async function payloadAt(path: string): Promise<unknown> {
  try {
    if ((await stat(path)).isDirectory()) return null
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw new GuildError(
      'GUILD_COMMAND_INVALID',
      { why: `${path} is neither a Git repository nor a saved webhook body: ${reasonOf(error)}` },
      { cause: error },
    )
  }
}
