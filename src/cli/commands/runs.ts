import { join } from 'node:path'
import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { Cancelled, RunDetail, RunRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { type Column, money, paint, state, table, terminalWidth, when } from '../print.ts'
import { describeRecording, recordRun } from '../run/record-run.ts'
import { showRun } from '../run/show-run.ts'
import { query } from '../query.ts'

interface Options {
  readonly limit: string
  readonly agent?: string
  readonly state?: string
  readonly before?: string
}

const showHelp = `
What it saw (and what was kept from it), each answer of the model in its own words, reads and writes with what became of them,
tokens and money per call, and when. It works for runs that still run or wait. \`guild why <id>\` adds every decision around it.`

const cancelHelp = `
A run that works finishes the step it is in, so that nothing is lost or paid twice, and stops there; a model call that was only
reserved is not made. Actions accepted before stay: \`guild undo --run <id>\` takes them back.

  guild runs cancel inv_… -m "wrong repository"`

const recordHelp = `
Each answer goes to a file of its own, named by what was asked, without secrets. With GUILD_REPLAY set to the folder, the recordings
answer where a model has no key: the same questions get the same answers, nothing is bought, and what was never asked is refused.
Needs the transcript of the run (\`retention\` in the manifest).`

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
    .option('--full', 'every word, nothing cut')
    .addHelpText('after', showHelp)
    .action(async (id: string, { full = false }: { full?: boolean }) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const run = await client.get<RunDetail>(`/api/v1/invocations/${encodeURIComponent(id)}`)
      show(run, () => showRun(run, { full, width: terminalWidth() }))
    })
  runs
    .command('cancel <id>')
    .description('end a run: at its next edge, or at once when it is queued or waits')
    .option('-m, --note <text>', 'why, for the audit trail')
    .addHelpText('after', cancelHelp)
    .action(async (id: string, { note }: { note?: string }) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const path = `/api/v1/invocations/${encodeURIComponent(id)}/cancel`
      const cancelled = await client.post<Cancelled>(path, note === undefined ? {} : { note })
      show(cancelled, () => describeCancelled(cancelled))
    })
  runs
    .command('record <id>')
    .description('keep the answers of a run as recordings, to be given again without a model')
    .option('--to <folder>', 'where; default: recordings/<id>')
    .addHelpText('after', recordHelp)
    .action(async (id: string, { to = join('recordings', id) }: { to?: string }) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const recorded = await recordRun(client, id, to)
      show(recorded, () => describeRecording(recorded))
    })
}

function describeCancelled({ id, was, told }: Cancelled): string {
  if (!told) return `${id} had been cancelled before and is ${state(was)}.`
  const when = was === 'RUNNING' ? 'It stops after the step it is in.' : 'It ends without doing anything more.'
  return `${id} is cancelled. ${when}\n${paint.dim(`guild runs show ${id}`)}`
}

export function list(page: Page<RunRow>): string {
  if (page.items.length === 0)
    return `No agent has run yet.\n${paint.dim('An event must wake one: `guild events` shows what arrived and why.')}`
  // Where rules answer, nothing is spent: the room is for the summary.
  const spent = page.items.some((row) => row.input_tokens + row.output_tokens > 0)
  const rows = table(page.items, [
    { head: 'queued', cell: (row) => when(row.queued_at) },
    { head: 'run', cell: (row) => row.id },
    { head: 'agent', cell: (row) => row.agent_id },
    { head: 'state', cell: (row) => (row.reason ? `${state(row.state)} ${row.reason}` : state(row.state)) },
    { head: 'answered by', cell: answeredBy },
    ...(spent ? costColumns : []),
    { head: 'actions', cell: (row) => String(row.actions), align: 'right' },
    { head: 'summary', cell: (row) => (row.summary ?? row.reason_detail ?? '').split('\n')[0] ?? '', flexible: true },
  ])
  return page.next ? `${rows}\n${paint.dim(`more: guild runs --before ${page.next}`)}` : rows
}

const costColumns: readonly Column<RunRow>[] = [
  { head: 'tokens', cell: (row) => String(row.input_tokens + row.output_tokens), align: 'right' },
  { head: 'cost', cell: (row) => money(row.cost_micros), align: 'right' },
]

function answeredBy(row: RunRow): string {
  if (!row.provider) return '–'
  return row.model && row.model !== row.provider ? `${row.provider}/${row.model}` : row.provider
}
