import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { RunDetail, RunRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { facts, money, ms, paint, state, table, when } from '../print.ts'
import { query } from '../query.ts'

interface Options {
  readonly limit: string
  readonly agent?: string
  readonly state?: string
  readonly before?: string
}

export const runsCommand: CommandModule = (program, context) => {
  const runs = program
    .command('runs')
    .description('the agents’ work')
    .option('-n, --limit <count>', 'how many', '20')
    .option('--agent <name>', 'one agent')
    .option('--state <state>', 'QUEUED, RUNNING, COMPLETED, STOPPED, FAILED …')
    .option('--before <cursor>', 'the page after this cursor')
    .action(async (options: Options) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<RunRow>>(`/api/v1/invocations${query(options)}`)
      show(page, () => list(page))
    })
  runs
    .command('show <id>')
    .description('one run as a person reads it: what it saw, did, cost, and why it stopped')
    .action(async (id: string) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const run = await client.get<RunDetail>(`/api/v1/invocations/${encodeURIComponent(id)}`)
      show(run, () => detail(run))
    })
}

export function list(page: Page<RunRow>): string {
  if (page.items.length === 0)
    return `No agent has run yet.\n${paint.dim('An event must wake one: `guild events` shows what arrived and why.')}`
  const rows = table(page.items, [
    { head: 'queued', cell: (row) => when(row.queued_at) },
    { head: 'run', cell: (row) => row.id },
    { head: 'agent', cell: (row) => `${row.agent_id}@${row.agent_version}` },
    { head: 'state', cell: (row) => (row.reason ? `${state(row.state)} ${row.reason}` : state(row.state)) },
    { head: 'answered by', cell: answeredBy },
    { head: 'tokens', cell: (row) => String(row.input_tokens + row.output_tokens), align: 'right' },
    { head: 'cost', cell: (row) => money(row.cost_micros), align: 'right' },
    { head: 'actions', cell: (row) => String(row.actions), align: 'right' },
    { head: 'summary', cell: (row) => (row.summary ?? row.reason_detail ?? '').split('\n')[0] ?? '', flexible: true },
  ])
  return page.next ? `${rows}\n${paint.dim(`more: guild runs --before ${page.next}`)}` : rows
}

function answeredBy(row: RunRow): string {
  if (!row.provider) return '–'
  return row.model && row.model !== row.provider ? `${row.provider}/${row.model}` : row.provider
}

function detail(run: RunDetail): string {
  const row = run
  const took =
    row.finished_at && row.started_at
      ? ms(new Date(row.finished_at).getTime() - new Date(row.started_at).getTime())
      : '–'
  const head = facts([
    ['run', `${row.id}  ${state(row.state)}${row.reason ? ` ${row.reason}` : ''}`],
    ['agent', `${row.agent_id}@${row.agent_version}, Codex ${row.codex_commit.slice(0, 12)}, rule ${row.rule}`],
    ['event', `${row.event_id}  (guild why ${row.event_id})`],
    ['answered', `${answeredBy(row)}, ${row.input_tokens} + ${row.output_tokens} tokens, ${money(row.cost_micros)}`],
    ['time', `queued ${when(row.queued_at)}, took ${took}, attempts ${row.attempts}`],
    ['summary', row.summary ?? '–'],
    ...(row.reason_detail ? [['because', row.reason_detail] as const] : []),
  ])
  const steps = table(run.steps, [
    { head: '#', cell: (step) => String(step.seq), align: 'right' },
    { head: 'step', cell: (step) => step.kind },
    { head: 'what', cell: (step) => step.name },
    { head: 'status', cell: (step) => (step.status === 'DONE' ? paint.green(step.status) : paint.yellow(step.status)) },
    {
      head: 'took',
      cell: (step) =>
        step.finished_at ? ms(new Date(step.finished_at).getTime() - new Date(step.started_at).getTime()) : '–',
      align: 'right',
    },
    { head: '', cell: (step) => step.error ?? '', flexible: true },
  ])
  const actions = table(run.proposed, [
    { head: 'action', cell: (action) => action.id },
    { head: 'type', cell: (action) => action.type },
    { head: 'target', cell: (action) => action.target },
    { head: 'state', cell: (action) => state(action.state) },
    { head: '', cell: (action) => action.remote_url ?? action.reason ?? '', flexible: true },
  ])
  const decisions = run.decisions.map(
    (one) => `  ${paint.dim(when(one.at))} ${one.stage.padEnd(9)} ${state(one.outcome)}  ${one.reason}`,
  )
  return [
    head,
    steps,
    ...(run.proposed.length > 0 ? [actions] : []),
    `${paint.dim('decisions')}\n${decisions.join('\n')}`,
  ].join('\n\n')
}
