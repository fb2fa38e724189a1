import { Command } from 'commander'
import { loadSettings, type Settings } from '../config/settings.ts'
import { version } from './version.ts'
import { printable } from './print.ts'
import { report } from './report.ts'
import { actionsCommands } from './commands/actions.ts'
import { undoCommand } from './commands/undo.ts'
import { agentsCommand } from './commands/agents.ts'
import { auditCommand } from './commands/audit.ts'
import { budgetsCommand, ledgerCommand } from './commands/ledger.ts'
import { codexCommand } from './commands/codex.ts'
import { configCommand } from './commands/config.ts'
import { deadCommand } from './commands/dead.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { grantCommands } from './commands/grants.ts'
import { eventsCommand } from './commands/events.ts'
import { keysCommand } from './commands/keys.ts'
import { mcpCommand } from './commands/mcp.ts'
import { migrateCommand } from './commands/migrate.ts'
import { runCommand } from './commands/run.ts'
import { runsCommand } from './commands/runs.ts'
import { schedulesCommand } from './commands/schedules.ts'
import { sandboxCommand } from './commands/sandbox.ts'
import { statusCommand } from './commands/status.ts'
import { tryCommand } from './commands/try.ts'
import { upCommand } from './commands/up.ts'
import { whyCommand } from './commands/why.ts'

/** What every command gets. */
export interface Context {
  readonly settings: Settings
  readonly env: Readonly<Record<string, string | undefined>>
  readonly json: boolean
  /** Prints for people, or the value itself with `--json`. */
  readonly show: (value: unknown, human: () => string) => void
}

export type CommandModule = (program: Command, context: () => Context) => void

/** Runs one command line. @returns the exit code: 0 done, 1 failed with a reason, 2 wrong usage */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Command('guild')
    .description(
      'Turns what happens in your engineering organisation into short AI agent runs,\nand their decisions into audited actions — under budgets that cannot be overrun.',
    )
    .version(version(), '-V, --version', 'print the version')
    .option('--home <folder>', 'the guild to use: its database, keys and artifacts (GUILD_HOME)')
    .option('--url <url>', 'a running guild elsewhere (GUILD_URL; its key in GUILD_API_KEY)')
    .option('--json', 'print stable JSON instead of text for people')
    .configureHelp({ sortSubcommands: false, showGlobalOptions: true })
    .addHelpText('after', firstSteps)
    .exitOverride()
  program.commandsGroup('Start')
  const context = () => contextOf(program)
  const groups: readonly (readonly [string, readonly CommandModule[]])[] = [
    ['Start', [demoCommand, tryCommand, upCommand, runCommand, sandboxCommand]],
    [
      'See',
      [
        statusCommand,
        eventsCommand,
        runsCommand,
        actionsCommands,
        undoCommand,
        whyCommand,
        agentsCommand,
        schedulesCommand,
        deadCommand,
      ],
    ],
    ['Trust', [budgetsCommand, grantCommands, ledgerCommand, auditCommand, doctorCommand]],
    ['Own', [codexCommand, configCommand, migrateCommand, keysCommand, mcpCommand]],
  ]
  for (const [title, modules] of groups) {
    program.commandsGroup(`${title}:`)
    for (const module of modules) module(program, context)
  }
  try {
    await program.parseAsync([...args], { from: 'user' })
    return typeof process.exitCode === 'number' ? process.exitCode : 0
  } catch (error) {
    return report(error)
  }
}

function contextOf(program: Command): Context {
  const options = program.opts<{ home?: string; url?: string; json?: boolean }>()
  const env = {
    ...process.env,
    ...(options.home && { GUILD_HOME: options.home }),
    ...(options.url && { GUILD_URL: options.url }),
  }
  const json = options.json ?? false
  return {
    settings: loadSettings(env),
    env,
    json,
    show: (value, human) => process.stdout.write(`${json ? JSON.stringify(value, null, 2) : printable(human())}\n`),
  }
}

const firstSteps = `
First steps:
  guild demo               a scripted day against a sandbox GitHub: nothing to configure
  guild try .              what your agents would have done in this repository's last 90 days
  guild up                 the real thing on this machine; GitHub may now call it
  guild why <event>        why something happened, or why nothing did

Every command takes --help and --json.`
