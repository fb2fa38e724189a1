import type { Command } from 'commander'
import { codexUrl } from '../../processes/codex-url.ts'
import type { LockResult } from '../../processes/lock-tools.ts'
import type { Context } from '../main.ts'
import { paint, plural } from '../print.ts'

interface Options {
  readonly check?: boolean
  readonly all?: boolean
  readonly codex?: string
}

export function codexLockCommand(codex: Command, context: () => Context): void {
  codex
    .command('lock [connectors...]')
    .description('pin the tools that others’ servers offer, as a person has read them')
    .option('--check', 'compare only; exit code 1 when anything differs: run it in your CI')
    .option('--all', 'pin also tools that no agent uses')
    .option('--codex <codex>', 'the Codex, when it is not the one of CODEX_URL')
    .addHelpText('after', help)
    .action(async (connectors: readonly string[], options: Options) => {
      const { lockTools } = await import('../../processes/lock-tools.ts')
      const { logger } = await import('../../processes/logger.ts')
      const { settings, env, show } = context()
      const result = await lockTools({
        url: options.codex ?? codexUrl(settings),
        settings,
        env,
        log: logger(settings),
        connectors,
        all: options.all === true,
        check: options.check === true,
      })
      show(result, () => human(result, options.check === true))
      if (!result.ok) process.exitCode = 1
    })
}

const help = `
A run uses a tool of an MCP server only as tools.lock.yaml pins it, and only if its class there is read. The server's own hints are
claims: read what the file says, and merge it like code. A tool that has changed since is quarantined until it is pinned again.`

const signs = {
  added: paint.green('+'),
  changed: paint.yellow('~'),
  removed: paint.red('-'),
  missing: paint.red('?'),
  refused: paint.red('✗'),
} as const

export function human(result: LockResult, check: boolean): string {
  const { changes, failed, unused, asked, pinned, file } = result
  const lines = changes.flatMap(({ kind, tool, details }) => [
    `${signs[kind]} ${tool} ${paint.dim(kind)}`,
    ...details.map((detail) => `    ${detail}`),
  ])
  lines.push(
    ...failed.map(({ connector, why }) => `${paint.red('✗')} ${connector}: ${why}; its pins stay as they were`),
  )
  if (unused.length > 0) {
    const names = unused.slice(0, 8).join(', ')
    lines.push(
      paint.dim(`Offered, used by no agent, not pinned: ${names}${unused.length > 8 ? ' …' : ''} (--all pins them)`),
    )
  }
  if (lines.length > 0) lines.push('')
  if (asked.length === 0) {
    lines.push('No connector has a tool server of its own; built-in ones are pinned by the version of guild.')
  } else if (result.written) {
    lines.push(`${paint.green('Wrote')} ${file} with ${plural(pinned, 'tool')}. Read it, then commit it.`)
  } else if (result.ok) {
    lines.push(paint.green(`${plural(pinned, 'tool')} of ${asked.join(', ')}: as pinned.`))
  } else if (check && changes.length > 0) {
    lines.push(
      paint.red(`${plural(changes.length, 'tool')} not as pinned: quarantined until \`guild codex lock\` is merged.`),
    )
  } else lines.push(paint.red('Nothing was pinned.'))
  return lines.join('\n')
}
