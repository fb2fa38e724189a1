import { join } from 'node:path'
import { dayPull, dayRepository } from '../../sandbox/day/day.ts'
import type { Rehearsal } from '../../processes/rehearsal.ts'
import { prepareDay, ReplayDay } from '../demo/replay-day.ts'
import { readBack } from '../demo/read-back.ts'
import { openClientAt } from '../client.ts'
import type { CommandModule, Context } from '../main.ts'
import { version } from '../version.ts'
import { paint, printable } from '../print.ts'

export const demoCommand: CommandModule = (program, context) => {
  program
    .command('demo')
    .description('a scripted day against a sandbox GitHub: nothing to configure, nothing leaves this machine')
    .option('--exit', 'end when the day is over, instead of staying up')
    .action(async (options: { exit?: boolean }) => demo(context(), options.exit ?? false))
}

async function demo(context: Context, exit: boolean): Promise<void> {
  const { settings, env } = context
  const began = performance.now()
  const home = join(settings.home, 'demo')
  say(`${paint.bold('A day at acme')}, against a GitHub that exists only on this machine.`)
  say(
    paint.dim(
      'Agents follow their rules: no model is asked and nothing is spent. Starting gateway, bus, agents and database …\n',
    ),
  )
  const { Rehearsal } = await import('../../processes/rehearsal.ts')
  await using rehearsal = await Rehearsal.open({
    settings: { ...settings, codexUrl: undefined },
    env,
    version: version(),
    home,
    live: ['github'],
    rulesOnly: true,
  })
  prepareDay(rehearsal)
  await using client = openClientAt(rehearsal.serving.url, home)
  const replay = new ReplayDay(rehearsal, client, say)
  await replay.play()
  await readBack(rehearsal, client, say)
  say(paint.dim(`\nThe day took ${((performance.now() - began) / 1_000).toFixed(1)} s.`))
  if (exit) return
  await stay(rehearsal, home)
}

async function stay(rehearsal: Rehearsal, home: string): Promise<void> {
  const { serving, sandbox } = rehearsal
  say(`
${paint.bold('It stays up until Ctrl-C.')} Look:
  ${serving.signInUrl}   ${paint.dim('the overview, signed in once')}
  ${sandbox.url}/_sandbox   ${paint.dim('what the sandbox GitHub received')}

Type, in another terminal:
  npx guild --home ${home} status
  npx guild --home ${home} runs
  npx guild --home ${home} approvals        ${paint.dim('what waits for you')}
  npx guild --home ${home} why <event>      ${paint.dim('any id above')}

Then your own repository:
  npx guild try .                           ${paint.dim(`${dayRepository}#${dayPull} was ours; this is yours`)}
`)
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
  })
  say(paint.dim('\nstopping'))
}

function say(text: string): void {
  process.stdout.write(`${printable(text)}\n`)
}
