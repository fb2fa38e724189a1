import { durationMs } from '../../kernel/duration.ts'
import { GuildError } from '../../kernel/errors.ts'
import type { Page } from '../../http/page.ts'
import type { UndoRow } from '../../http/rows.ts'
import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import { paint, table } from '../print.ts'

interface UndoOptions {
  readonly run?: string
  readonly agent?: string
  readonly since?: string
  readonly note?: string
}

/** `undo <action>`, or everything of a run or an agent, newest first. */
export const undoCommand: CommandModule = (program, context) => {
  program
    .command('undo [action]')
    .description('take back what was done: one action, or all of a run or an agent, newest first')
    .option('--run <id>', 'everything this run has done')
    .option('--agent <id>', 'everything this agent has done, 100 at most')
    .option('--since <duration>', 'with --agent: only what is younger, such as 1h')
    .option('-m, --note <text>', 'why, for the audit trail')
    .addHelpText(
      'after',
      `
What was not sent yet is stopped. Comments are deleted (or get their earlier words back), labels return to what they were, issues are
closed, checks are withdrawn; a review stays. Where somebody has changed the target since, a person is asked first: guild approvals.

  guild undo act_…
  guild undo --run inv_…
  guild undo --agent sentinel --since 1h -m "it misread the release"`,
    )
    .action(async (action: string | undefined, options: UndoOptions) => {
      const { settings, show } = context()
      const { note, ...which } = options
      if ([action, which.run, which.agent].filter((one) => one !== undefined).length !== 1)
        throw new GuildError('GUILD_COMMAND_INVALID', { why: 'name one action, or --run, or --agent' })
      const because = note === undefined ? {} : { note }
      await using client = await openClient(settings)
      const items = action
        ? [await client.post<UndoRow>(`/api/v1/actions/${encodeURIComponent(action)}/undo`, because)]
        : (await client.post<Page<UndoRow>>('/api/v1/actions/undo', { ...body(which), ...because })).items
      show(action ? items[0] : { items, next: null }, () => list(items))
    })
}

function body({ run, agent, since }: UndoOptions): object {
  const young = since === undefined ? {} : { since: new Date(Date.now() - agoMs(since)).toISOString() }
  return { ...(run !== undefined && { run }), ...(agent !== undefined && { agent }), ...young }
}

function agoMs(text: string): number {
  if (!/^\d{1,6}(ms|s|m|h|d)$/.test(text))
    throw new GuildError('GUILD_COMMAND_INVALID', { why: `${text} is not a duration such as 1h` })
  return durationMs(text)
}

const colours = { stopped: paint.green, queued: paint.cyan, shadow: paint.cyan, refused: paint.red } as const

function list(items: readonly UndoRow[]): string {
  if (items.length === 0)
    return `Nothing to take back.\n${paint.dim('guild actions --state SUCCEEDED shows what was done')}`
  return table(items, [
    { head: 'action', cell: (row) => row.actionId },
    { head: 'undo', cell: (row) => colours[row.result](row.result) },
    { head: 'by', cell: (row) => row.undoId ?? '–' },
    { head: '', cell: (row) => row.reason, flexible: true },
  ])
}
