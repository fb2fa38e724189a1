import { lagMax } from '../../bus/bus.ts'
import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { Status } from '../../http/status.ts'
import { facts, ms, paint, state, table, when } from '../print.ts'

export const statusCommand: CommandModule = (program, context) => {
  program
    .command('status')
    .description('what runs, what waits, what needs you')
    .action(async () => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const status = await client.get<Status>('/api/v1/status')
      show(status, () => human(status, client.from))
    })
}

export function human(status: Status, from: string): string {
  const counted = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([name, count]) => `${count} ${state(name)}`)
      .join(', ') || paint.dim('none yet')
  const connectors = status.connectors
    .map((one) => `${one.name} ${one.live ? paint.red('live') : paint.cyan('shadow')}`)
    .join(', ')
  const lines = facts([
    ['guild', `${status.version} at ${from}`],
    ['database', `${status.database}, bus ${status.bus}`],
    ['codex', `${status.codex.commit.slice(0, 12)} from ${status.codex.url}, loaded ${when(status.codex.loadedAt)}`],
    ['connectors', connectors || paint.dim('none')],
    ...(status.providers.length > 0 ? [['providers', providersIn(status)] as const] : []),
    ['received', `${status.received}: ${counted(status.dispositions)}`],
    ['runs', counted(status.runs)],
    ['actions', counted(status.actions)],
    [
      'desk',
      status.desk > 0
        ? paint.yellow(
            `${status.desk === 1 ? '1 decision waits' : `${status.desk} decisions wait`} for you: ${status.grants === 0 ? 'guild approvals' : status.grants === status.desk ? 'guild grants' : 'guild approvals, guild grants'}`,
          )
        : 'nothing waits for you',
    ],
    ...(Object.keys(status.budgetAlerts).length > 0 ? [['budgets', alertsIn(status)] as const] : []),
    ['dead letters', status.dead > 0 ? paint.red(`${status.dead}: guild dead`) : '0'],
  ])
  const lag = status.lag.filter((one) => one.ready + one.inFlight + one.delayed > 0)
  const queues = table(lag, [
    { head: 'topic', cell: (one) => one.topic, flexible: true },
    { head: 'group', cell: (one) => one.group },
    { head: 'ready', cell: (one) => (one.ready === lagMax ? `≥${lagMax}` : String(one.ready)), align: 'right' },
    { head: 'in flight', cell: (one) => String(one.inFlight), align: 'right' },
    { head: 'delayed', cell: (one) => String(one.delayed), align: 'right' },
    { head: 'oldest', cell: (one) => ms(one.oldestReadyMs), align: 'right' },
  ])
  const broken = status.codex.problems
    ? `\n\n${paint.red(`commit ${status.codex.problems.commit.slice(0, 12)} of the Codex is not valid and does not serve:`)}\n${status.codex.problems.problems
        .map((one) => `  ${one.file}:${one.line} ${one.message}`)
        .join('\n')}`
    : ''
  return lag.length > 0 ? `${lines}\n\n${queues}${broken}` : lines + broken
}

function alertsIn({ budgetAlerts }: Status): string {
  const passed = Object.entries(budgetAlerts).map(([threshold, count]) => `${count} past ${threshold} %`)
  return paint.yellow(`${passed.join(', ')}: guild budgets`)
}

function providersIn({ providers }: Status): string {
  return providers
    .map(({ name, state, until }) => {
      const trouble = state === 'CLOSED' ? paint.yellow('limits the rate') : paint.red('is cut off')
      return `${name} ${trouble}${until ? ` until ${when(until)}` : ''}`
    })
    .join(', ')
}
