import { historyDeliveries, type HistoryDelivery, newestAsPulls } from '../../sandbox/history/deliveries.ts'
import { type History, readPatches } from '../../sandbox/history/read-history.ts'
import type { DoctorReport } from '../../http/doctor.ts'
import type { ActionRow, ApprovalRow, EventRow, RunRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import type { Status } from '../../http/status.ts'
import { money, ms, paint, plural, table } from '../print.ts'
import { showDesk } from './show-desk.ts'
import type { TryParts } from './try-parts.ts'

const deliveriesMax = 600
const atOnce = 8
const settleMs = 300_000
/** Patches are what a model reads; without one the names of files are enough. */
const patchedMax = 20
/** How many of the newest changes are offered until one leads to a proposal. */
const offersMax = 10

/** The last days of a repository through the real line in shadow mode, told as a story. */
export async function tryHistory(parts: TryParts, path: string, history: History, days: number): Promise<object> {
  const { rehearsal, say } = parts
  const all = historyDeliveries(history)
  const deliveries = all.slice(-deliveriesMax)
  say(introduction(history, deliveries, all.length, days))
  await seed(parts, path, deliveries)
  const began = performance.now()
  let received = await sendAll(parts, deliveries)
  await rehearsal.settled(received, settleMs)
  received += await offerNewest(parts, path, history, received)
  const took = performance.now() - began
  const result = await collect(parts)
  tell(parts, result, took)
  const desk = await showDesk(parts)
  return {
    repository: history.repository,
    from: history.from,
    to: history.to,
    deliveries: deliveries.length,
    ...result,
    desk,
  }
}

function introduction(history: History, deliveries: readonly HistoryDelivery[], all: number, days: number): string {
  const span = history.quietSince
    ? `the ${days} days up to its last commit, ${history.quietSince.toISOString().slice(0, 10)} (quiet since)`
    : `the last ${days} days`
  const pulls = new Set(deliveries.map(({ pull }) => pull?.number).filter((number) => number !== undefined)).size
  return [
    `${paint.bold(history.repository)}, branch ${history.branch}, ${span}:`,
    `  ${plural(history.commits.length, 'change')} on the branch, ${plural(pulls, 'pull request')}, ${plural(history.tags.length, 'tag')}, ${plural(history.forced.length, 'forced push', 'forced pushes')}`,
    `  → ${plural(deliveries.length, 'delivery', 'deliveries')} as GitHub would have sent them${all > deliveries.length ? paint.dim(` (the newest of ${all})`) : ''}`,
    paint.dim('  What Git does not keep (reviews, labels, CI, issues) is not made up.'),
  ].join('\n')
}

/** Lets the sandbox answer reads about the pull requests that the deliveries speak of. */
async function seed({ rehearsal }: TryParts, path: string, deliveries: readonly HistoryDelivery[]): Promise<void> {
  const withPatches = new Set(deliveries.filter(({ pull }) => pull).slice(-patchedMax))
  for (const delivery of deliveries) {
    const patches =
      delivery.pull && withPatches.has(delivery) ? await readPatches(path, delivery.pull.commit.sha) : null
    const files = delivery.pull?.commit.files.map((file) => ({
      filename: file.path,
      status: file.deletions === 0 ? ('added' as const) : ('modified' as const),
      additions: file.additions,
      deletions: file.deletions,
      ...(patches?.get(file.path) && { patch: patches.get(file.path) }),
    }))
    rehearsal.sandbox.github.seedFromWebhook(delivery.body, { ...(files && { files }) })
  }
}

/** @returns events that the gateway has accepted */
async function sendAll({ rehearsal, say }: TryParts, deliveries: readonly HistoryDelivery[]): Promise<number> {
  let events = 0
  let refused = 0
  for (let at = 0; at < deliveries.length; at += atOnce) {
    const answers = await Promise.all(
      deliveries.slice(at, at + atOnce).map(({ event, body }) => rehearsal.send(event, body)),
    )
    for (const { status, body } of answers) {
      events += (body as { event_ids?: readonly string[] }).event_ids?.length ?? 0
      if (status >= 300) refused += 1
    }
    if (process.stdout.isTTY)
      process.stderr.write(
        `\r  ${paint.dim(`sent ${Math.min(at + atOnce, deliveries.length)} of ${deliveries.length}`)}`,
      )
  }
  if (process.stdout.isTTY) process.stderr.write('\r\u001b[2K')
  if (refused > 0)
    say(paint.yellow(`  ${plural(refused, 'delivery was', 'deliveries were')} not accepted by the gateway`))
  return events
}

/** While nothing waits for a decision: the newest changes, one by one, as if each were opened as a pull request today. */
async function offerNewest(parts: TryParts, path: string, history: History, received: number): Promise<number> {
  let events = 0
  for (const offer of newestAsPulls(history, new Date()).slice(0, offersMax)) {
    if ((await pending(parts)) > 0) break
    parts.say(paint.dim(`  and your newest change, as if it were opened as a pull request today: ${offer.story}`))
    await seed(parts, path, [offer])
    events += await sendAll(parts, [offer])
    await parts.rehearsal.settled(received + events, settleMs)
  }
  return events
}

async function pending({ client }: TryParts): Promise<number> {
  return (await client.get<Page<ApprovalRow>>('/api/v1/approvals?state=PENDING')).items.length
}

interface Collected {
  readonly status: Status
  readonly runs: readonly RunRow[]
  readonly actions: readonly ActionRow[]
  readonly events: readonly EventRow[]
  readonly doctor: DoctorReport
  readonly written: number
}

async function collect({ client, rehearsal }: TryParts): Promise<Collected> {
  const every = async <Row>(path: string): Promise<readonly Row[]> => {
    const rows: Row[] = []
    for (let before: string | null = ''; before !== null;) {
      const page: Page<Row> = await client.get<Page<Row>>(
        `${path}?limit=200${before ? `&before=${encodeURIComponent(before)}` : ''}`,
      )
      rows.push(...page.items)
      before = page.next
    }
    return rows
  }
  return {
    status: await client.get<Status>('/api/v1/status'),
    runs: await every<RunRow>('/api/v1/invocations'),
    actions: await every<ActionRow>('/api/v1/actions'),
    events: await every<EventRow>('/api/v1/events'),
    doctor: await client.get<DoctorReport>('/api/v1/doctor'),
    written: rehearsal.sandbox.github.received().length,
  }
}

function tell({ say }: TryParts, { status, runs, actions, events, doctor, written }: Collected, tookMs: number): void {
  say(`\n${paint.bold('Who would have been woken by what')}`)
  const eventOf = new Map(events.map((event) => [event.id, event]))
  const groups = Map.groupBy(runs, (run) => `${eventOf.get(run.event_id)?.type ?? '?'} → ${run.agent_id}`)
  say(
    table(
      [...groups].toSorted(([, a], [, b]) => b.length - a.length),
      [
        { head: 'event → agent', cell: ([name]) => name },
        { head: 'times', cell: ([, all]) => String(all.length), align: 'right' },
        { head: 'for example', cell: ([, all]) => (all[0]?.summary ?? '').split('\n')[0] ?? '', flexible: true },
      ],
    ),
  )
  say(`\n${paint.bold('What they would have done')}`)
  const kinds = Map.groupBy(actions, (action) => `${action.agent_id}: ${action.type}`)
  say(
    table(
      [...kinds].toSorted(([, a], [, b]) => b.length - a.length),
      [
        { head: 'agent: action', cell: ([name]) => name },
        { head: 'times', cell: ([, all]) => String(all.length), align: 'right' },
        {
          head: 'state',
          cell: ([, all]) =>
            [...Map.groupBy(all, (one) => one.state)].map(([state, some]) => `${some.length} ${state}`).join(', '),
        },
        { head: 'for example', cell: ([, all]) => preview(all[0]), flexible: true },
      ],
    ),
  )
  say(`\n${paint.bold('What was filtered, and why')}`)
  const quiet = Map.groupBy(
    events.filter((event) => event.invocations === 0),
    (event) => `${event.disposition}  ${event.type}`,
  )
  say(
    table([...quiet].toSorted(([, a], [, b]) => b.length - a.length).slice(0, 12), [
      { head: 'disposition, event', cell: ([name]) => name },
      { head: 'times', cell: ([, all]) => String(all.length), align: 'right' },
      { head: 'why', cell: ([, all]) => all[0]?.reason ?? '', flexible: true },
    ]),
  )
  const tokens = runs.reduce((sum, run) => sum + run.input_tokens + run.output_tokens, 0)
  const cost = runs.reduce((sum, run) => sum + run.cost_micros, 0)
  const by = [...new Set(runs.map((run) => run.provider).filter((name) => name !== null))].join(', ') || 'nobody'
  const sums = Object.entries(status.dispositions).map(([name, count]) => `${count} ${name}`)
  const balanced = doctor.checks.find((check) => check.name === 'events')?.verdict === 'ok'
  say(
    `\n${balanced ? paint.green('✓') : paint.red('✗')} events received ${status.received} = ${sums.join(' + ')}\n  ${plural(runs.length, 'run')} answered by ${by}, ${tokens} tokens, ${money(cost)}, in ${ms(tookMs)}; writes = ${written}`,
  )
}

function preview(action: ActionRow | undefined): string {
  if (!action) return ''
  const { title, body } = action.args
  const text = typeof title === 'string' ? title : typeof body === 'string' ? body : JSON.stringify(action.args)
  return `${action.target}: ${text}`
}
