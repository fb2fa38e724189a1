import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { AgentRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { paint, state, table, when } from '../print.ts'
import { query } from '../query.ts'

export const agentsCommand: CommandModule = (program, context) => {
  program
    .command('agents')
    .description('who there is, what they can do, how they are')
    .option('--capability <name>', 'only those with this capability')
    .option('--type <type>', 'only this type')
    .option('--chapter <name>', 'only this chapter')
    .option('--status <status>', 'ACTIVE, DORMANT or DEGRADED')
    .action(async (options: object) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<AgentRow>>(`/api/v1/agents${query(options)}`)
      show(page, () => human(page.items))
    })
}

function human(rows: readonly AgentRow[]): string {
  if (rows.length === 0)
    return `No agent fits.\n${paint.dim('Agents are files: see agents/ in the Codex, and `guild codex lint`.')}`
  return table(rows, [
    { head: 'agent', cell: (row) => row.id },
    { head: 'version', cell: (row) => row.version },
    { head: 'chapter', cell: (row) => row.chapter ?? 'all' },
    { head: 'status', cell: (row) => state(row.status) },
    { head: 'last run', cell: (row) => when(row.last_invocation) },
    { head: 'errors 24 h', cell: (row) => String(row.error_count_24h), align: 'right' },
    {
      head: 'capabilities',
      cell: (row) => row.status_reason ?? row.capabilities.join(', '),
      flexible: true,
    },
  ])
}
