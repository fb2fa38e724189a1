import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { EventRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { paint, state, table, when } from '../print.ts'
import { follow } from '../follow.ts'
import { query } from '../query.ts'

interface Options {
  readonly limit: string
  readonly type?: string
  readonly source?: string
  readonly disposition?: string
  readonly before?: string
  readonly follow?: boolean
}

export const eventsCommand: CommandModule = (program, context) => {
  program
    .command('events')
    .description('what arrived, and what became of it')
    .option('-n, --limit <count>', 'how many', '20')
    .option('--type <type>', 'one type, e.g. PR_OPENED')
    .option('--source <source>', 'one source, e.g. github')
    .option('--disposition <name>', 'ROUTED, FILTERED, UNROUTED, DUPLICATE, SELF_ECHO …')
    .option('--before <cursor>', 'the page after this cursor')
    .option('-f, --follow', 'stay and show what happens')
    .action(async ({ follow: stay, ...options }: Options) => {
      const { settings, json, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<EventRow>>(`/api/v1/events${query(options)}`)
      show(page, () => human(page))
      if (stay) await follow(client, json)
    })
}

export function human(page: Page<EventRow>): string {
  if (page.items.length === 0) {
    return `Nothing has arrived yet.\n${paint.dim('Send something: `guild demo`, `guild try .`, or point a GitHub webhook at /webhooks/github.')}`
  }
  const rows = table(page.items, [
    { head: 'received', cell: (row) => when(row.received_at) },
    { head: 'event', cell: (row) => row.id },
    { head: 'type', cell: (row) => row.type },
    { head: 'subject', cell: (row) => row.subject_id },
    {
      head: 'disposition',
      cell: (row) => (row.invocations > 0 ? `${state(row.disposition)}(${row.invocations})` : state(row.disposition)),
    },
    { head: 'why', cell: (row) => row.reason, flexible: true },
  ])
  return page.next ? `${rows}\n${paint.dim(`more: guild events --before ${page.next}`)}` : rows
}
