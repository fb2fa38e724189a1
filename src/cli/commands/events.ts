import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { EventRow, TreeRow } from '../../http/rows.ts'
import { tree } from '../tree.ts'
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
  const events = program.command('events')
  events
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
  events
    .command('tree <id>')
    .description('everything that followed from the same first cause: events, runs, depth and cost')
    .addHelpText('after', '\nTakes the id of an event, run, action or reception, or GitHub’s delivery GUID.')
    .action(async (id: string) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const found = await client.get<TreeRow>(`/api/v1/events/${encodeURIComponent(id)}/tree`)
      show(found, () => tree(found))
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
