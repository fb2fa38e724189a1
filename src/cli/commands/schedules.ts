import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { ScheduleRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { facts, paint, state, table, when } from '../print.ts'
import { query } from '../query.ts'

export const schedulesCommand: CommandModule = (program, context) => {
  const schedules = program
    .command('schedules')
    .description('what comes due by the clock, soonest first')
    .option('--agent <id>', 'only those of this agent')
    .action(async (options: object) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<ScheduleRow>>(`/api/v1/schedules${query(options)}`)
      show(page, () => list(page.items))
    })
  schedules
    .command('show <id>')
    .description('one schedule and its next five slots')
    .action(async (id: string) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const row = await client.get<ScheduleRow>(path(id))
      show(row, () => one(row))
    })
  for (const [verb, about] of [
    ['pause', 'stop a schedule until it is resumed'],
    ['resume', 'let a schedule go on; what it slept through is not made up for'],
  ] as const) {
    schedules
      .command(`${verb} <id>`)
      .description(about)
      .option('--note <text>', 'why, for the audit trail')
      .action(async (id: string, options: { note?: string }) => {
        const { settings, show } = context()
        await using client = await openClient(settings)
        const row = await client.post<ScheduleRow>(`${path(id)}/${verb}`, options)
        show(row, () => one(row))
      })
  }
}

function path(id: string): string {
  return `/api/v1/schedules/${encodeURIComponent(id)}`
}

const schedule = (row: ScheduleRow) => (row.enabled ? state(row.next_run ? 'ACTIVE' : 'DORMANT') : state('STOPPED'))

function list(rows: readonly ScheduleRow[]): string {
  if (rows.length === 0) {
    const example = "- { cron: '30 8 * * 1-5', timezone: user, intent: DAILY_RAVEN }"
    return `No schedules.\n${paint.dim(`An agent gets one by a trigger in its manifest, e.g. ${example}`)}`
  }
  return table(rows, [
    { head: 'schedule', cell: (row) => row.id },
    { head: 'cron', cell: (row) => row.cron_expression },
    { head: 'zone', cell: (row) => row.timezone },
    { head: 'state', cell: schedule },
    { head: 'next', cell: (row) => (row.enabled ? when(row.next_run) : 'paused') },
    { head: 'last', cell: (row) => when(row.last_run) },
    { head: 'missed', cell: (row) => String(row.missed), align: 'right' },
  ])
}

function one(row: ScheduleRow): string {
  const upcoming = row.upcoming.map(
    (slot) =>
      `  ${slot.wall.replace('T', ' ')} ${paint.dim(`there, ${when(slot.at)} here`)}${slot.clock_change ? paint.yellow('  the clocks change that day') : ''}`,
  )
  return [
    facts([
      ['schedule', row.id],
      ['wakes', `${row.target_agent}${row.person ? ` for ${row.person}` : ''}`],
      ['cron', `${row.cron_expression} in ${row.timezone}`],
      ['state', schedule(row)],
      ['last', when(row.last_run)],
      ['missed', String(row.missed)],
    ]),
    '',
    row.enabled ? 'next' : 'next, once it is resumed',
    ...upcoming,
  ].join('\n')
}
