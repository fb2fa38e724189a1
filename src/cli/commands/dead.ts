import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { DeadRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { paint, table, when } from '../print.ts'
import { query } from '../query.ts'

export const deadCommand: CommandModule = (program, context) => {
  program
    .command('dead')
    .description('what could not be read or handled, kept for you')
    .option('-n, --limit <count>', 'how many', '20')
    .option('--before <cursor>', 'the page after this cursor')
    .action(async (options: object) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<DeadRow>>(`/api/v1/dead${query(options)}`)
      show(page, () => human(page))
    })
}

function human(page: Page<DeadRow>): string {
  if (page.items.length === 0) return paint.green('No dead letters.')
  const rows = table(page.items, [
    { head: 'when', cell: (row) => when(row.at) },
    { head: 'message', cell: (row) => row.id },
    { head: 'from', cell: (row) => row.topic },
    { head: 'group', cell: (row) => row.group ?? '–' },
    { head: 'attempts', cell: (row) => String(row.attempts), align: 'right' },
    { head: 'reason', cell: (row) => row.reason, flexible: true },
  ])
  return page.next ? `${rows}\n${paint.dim(`more: guild dead --before ${page.next}`)}` : rows
}
