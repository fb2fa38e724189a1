import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { AuditReport, AuditRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { facts, paint, plural, state, table, when } from '../print.ts'
import { query } from '../query.ts'

export const auditCommand: CommandModule = (program, context) => {
  const audit = program
    .command('audit')
    .description('who did what, why, on whose behalf; append-only and hash-chained')
    .option('-n, --limit <count>', 'how many', '20')
    .option('--before <seq>', 'the page before this sequence number')
    .action(async (options: object) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<AuditRow>>(`/api/v1/audit${query(options)}`)
      show(page, () => human(page))
    })
  audit
    .command('verify')
    .description('recompute the whole chain and name every row that does not fit')
    .option(
      '--anchor <seq:hash>',
      'a head saved earlier: also finds a chain that was cut at its end or rewritten as a whole',
    )
    .action(async (options: { anchor?: string }) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const report = await client.get<AuditReport>(`/api/v1/audit/verify${query(options)}`)
      show(report, () =>
        report.problems.length === 0
          ? `${paint.green('The chain is whole.')}\n${facts([
              ['rows', String(report.rows)],
              ...(report.start.seq > 0
                ? [
                    [
                      'begins after',
                      `${report.start.seq}:${report.start.hash} (retention dropped what was before)`,
                    ] as const,
                  ]
                : []),
              ['head', `${report.head.seq}:${report.head.hash}`],
            ])}\n${paint.dim('Keep the head somewhere else; later `guild audit verify --anchor <head>` proves that nothing before it was changed.')}`
          : `${paint.red(`The chain is broken: ${plural(report.problems.length, 'problem')}.`)}\n${report.problems
              .map((one) => `  ${one.seq}: ${one.why}`)
              .join('\n')}`,
      )
      if (report.problems.length > 0) process.exitCode = 1
    })
}

function human(page: Page<AuditRow>): string {
  if (page.items.length === 0) return 'The audit trail is empty: nothing has been decided yet.'
  const rows = table(page.items, [
    { head: 'seq', cell: (row) => String(row.seq), align: 'right' },
    { head: 'when', cell: (row) => when(row.timestamp) },
    { head: 'who', cell: (row) => row.actor },
    { head: 'what', cell: (row) => row.event_type },
    { head: 'result', cell: (row) => (row.result ? state(row.result) : '–') },
    { head: 'action', cell: (row) => row.action_type ?? '–' },
    { head: 'event', cell: (row) => row.source_event_id ?? '–', flexible: true },
  ])
  return page.next ? `${rows}\n${paint.dim(`more: guild audit --before ${page.next}`)}` : rows
}
