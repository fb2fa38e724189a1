import { readFile } from 'node:fs/promises'
import { systemClock } from '../../kernel/clock.ts'
import { GuildError, reasonOf } from '../../kernel/errors.ts'
import { type Client, openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { ActionDetail, ActionRow, ApprovalRow, DryRunRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { facts, ms, paint, plural, state, table, when } from '../print.ts'
import { query } from '../query.ts'

/** `actions`, and the desk: `approvals`, `approve`, `deny`. */
export const actionsCommands: CommandModule = (program, context) => {
  const actions = program
    .command('actions')
    .description('every write: proposed, sent, shadowed, refused')
    .option('-n, --limit <count>', 'how many', '20')
    .option('--state <state>', 'PROPOSED, SUCCEEDED, SHADOWED, FAILED, PARKED …')
    .option('--before <cursor>', 'the page after this cursor')
    .action(async (options: object) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<ActionRow>>(`/api/v1/actions${query(options)}`)
      show(page, () => list(page))
    })
  actions
    .command('show <id>')
    .description('one action with the exact call it makes, or would make')
    .action(async (id: string) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const found = await client.get<ActionDetail>(`/api/v1/actions/${encodeURIComponent(id)}`)
      show(found, () => detail(found))
    })
  actions
    .command('dry-run <type>')
    .description('what policy says, the exact call, and what it would change; nothing is done')
    .requiredOption('--agent <id>', 'the agent that would do it')
    .requiredOption('--args <file>', 'its arguments (JSON file)')
    .action(async (type: string, options: { agent: string; args: string }) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const args = await readJson(options.args)
      const answer = await client.post<DryRunRow>('/api/v1/actions/dry-run', { type, agent: options.agent, args })
      show(answer, () => dryRun(type, answer))
    })
  program
    .command('approvals')
    .description('the desk: what waits for a decision')
    .action(async () => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<ApprovalRow>>('/api/v1/approvals?state=PENDING')
      show(page, () => desk(page.items))
    })
  decideCommand(
    program,
    context,
    'approve',
    'let an action go, or a held one go at once; it is bound to exactly what you saw',
  )
  decideCommand(program, context, 'deny', 'refuse an action, or stop one that is held')
}

function decideCommand(
  program: Parameters<CommandModule>[0],
  context: Parameters<CommandModule>[1],
  verb: 'approve' | 'deny',
  about: string,
): void {
  const command = program
    .command(`${verb} <approval>`)
    .description(about)
    .option('-m, --note <text>', 'why, for the audit trail')
  if (verb === 'approve')
    command.option('--args <file>', 'approve with these arguments instead (JSON file); the edit is recorded')
  command.action(async (id: string, options: { note?: string; args?: string }) => {
    const { settings, show } = context()
    await using client = await openClient(settings)
    const args = options.args ? await readJson(options.args) : undefined
    const { items } = await client.get<Page<ApprovalRow>>('/api/v1/approvals?state=PENDING')
    const asked = items.find((row) => row.id === id || row.action_id === id)
    if (!asked) throw new GuildError('GUILD_NOT_FOUND', { what: 'pending approval', id })
    const decided = await client.post<ActionRow>(`/api/v1/approvals/${encodeURIComponent(asked.id)}/${verb}`, {
      ...(verb === 'approve' && { approval_hash: asked.approval_hash }),
      ...(options.note && { note: options.note }),
      ...(args !== undefined && { args }),
    })
    const done = await ended(client, decided)
    show(done, () => {
      const where = done.remote_url ? `  ${done.remote_url}` : ''
      return `${done.type} on ${done.target}: ${state(done.state)}${where}\n${paint.dim(`guild actions show ${done.id}`)}`
    })
  })
}

const endMs = 5_000
const lookMs = 200

/** The action once it has been carried out, or as it stands after 5 s. */
async function ended(client: Client, decided: ActionRow): Promise<ActionRow> {
  const until = Date.now() + endMs
  for (let row = decided; ;) {
    if (!/^(APPROVED|READY|EXECUTING|PROBING|AMBIGUOUS)$/.test(row.state) || Date.now() > until) return row
    await systemClock.sleep(lookMs)
    row = await client.get<ActionRow>(`/api/v1/actions/${encodeURIComponent(decided.id)}`)
  }
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw new GuildError(
      'GUILD_COMMAND_INVALID',
      { why: `${file} holds no JSON: ${reasonOf(error)}` },
      { cause: error },
    )
  }
}

export function list(page: Page<ActionRow>): string {
  if (page.items.length === 0)
    return `No action yet.\n${paint.dim('Agents propose, the action executor writes: `guild runs` shows what they did instead.')}`
  const rows = table(page.items, [
    { head: 'created', cell: (row) => when(row.created_at) },
    { head: 'action', cell: (row) => row.id },
    { head: 'agent', cell: (row) => row.agent_id },
    { head: 'type', cell: (row) => row.type },
    { head: 'target', cell: (row) => row.target },
    { head: 'state', cell: (row) => state(row.state) },
    {
      head: '',
      cell: (row) => (row.state === 'HELD' ? countdown(row.hold_until) : (row.remote_url ?? row.reason ?? '')),
      flexible: true,
    },
  ])
  return page.next ? `${rows}\n${paint.dim(`more: guild actions --before ${page.next}`)}` : rows
}

export function desk(rows: readonly ApprovalRow[]): string {
  if (rows.length === 0) return paint.green('Nothing waits for you.')
  return rows.map((row) => card(row)).join('\n\n')
}

const linesMax = 24

/** One item of the desk: what, why, the exact text and every other argument, until when, and what to type. */
export function card(row: ApprovalRow, guild = 'guild'): string {
  const { title, body, ...others } = row.args
  // Repository and number are the target; anything else may be what matters, such as the verdict of a review.
  const rest = Object.entries(others).filter(([name]) => name !== 'repo' && name !== 'number')
  const said = [title, body].filter((text) => typeof text === 'string')
  const lines = (said.length > 0 ? said.join('\n') : JSON.stringify(row.args, null, 2)).split('\n')
  const hidden = lines.length - linesMax
  return [
    facts([
      row.undo_of
        ? [
            'undo',
            `${row.requested_by ?? '–'} takes ${row.undo_of} of ${row.agent_id} back: ${row.type} on ${row.target}`,
          ]
        : ['asks', `${paint.bold(row.agent_id)}: ${row.type} on ${row.target}`],
      ...(row.kind === 'hold' ? [['held', paint.yellow(countdown(row.hold_until))] as const] : []),
      ...(row.undo_of && row.reason ? [['now', row.reason] as const] : []),
      ...(said.length > 0 ? rest.map(([name, value]) => [name, JSON.stringify(value)] as const) : []),
      ['because', `event ${row.event_id}${row.rule ? `, ${row.rule}` : ''}`],
      ['owner', `${row.asked}, expires ${when(row.expires_at)}`],
    ]),
    ...changes(row.before, row.after),
    paint.cyan(indent(lines.slice(0, linesMax).join('\n'))),
    ...(hidden > 0
      ? [paint.yellow(`  … ${plural(hidden, 'more line')}, shown by ${guild} actions show ${row.action_id}`)]
      : []),
    `  ${guild} approve ${row.id}   ${paint.dim('or')}   ${guild} deny ${row.id}`,
  ].join('\n')
}

/** `goes in 24 s, unless it is stopped` */
function countdown(until: string | null): string {
  const leftMs = until === null ? 0 : Date.parse(until) - Date.now()
  return leftMs > 0 ? `goes in ${ms(leftMs)}, unless it is stopped` : 'is about to go'
}

/** What would change, one line for each member that does. */
function changes(
  before: Readonly<Record<string, unknown>> | null | undefined,
  after: Readonly<Record<string, unknown>> | null | undefined,
): readonly string[] {
  if (!before || !after) return []
  const lines = Object.keys({ ...before, ...after })
    .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    .map((name) => `  ${name}: ${paint.red(part(before[name]))} → ${paint.green(part(after[name]))}`)
  return lines.length > 0 ? lines : [paint.dim('  it is like that already: nothing would change')]
}

function part(value: unknown): string {
  const text =
    value === null || value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value)
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > 60 ? `${line.slice(0, 59)}…` : line
}

function dryRun(type: string, answer: DryRunRow): string {
  const { request } = answer
  const verdicts = {
    run: 'would be carried out',
    ask: 'a person would be asked',
    deny: 'denied',
    recommend: 'recommend only',
  }
  return [
    facts([
      ['what', `${type} on ${answer.target} (${answer.connector})`],
      ['verdict', `${verdicts[answer.verdict]}: ${answer.reason}`],
      ['rule', answer.rule],
      ...(answer.hold_ms > 0 ? [['hold', ms(answer.hold_ms)] as const] : []),
      ['mode', answer.shadow ? 'shadow: rendered and recorded, not sent' : 'live'],
    ]),
    ...changes(answer.before, answer.after),
    request ? indent(callText(request)) : paint.yellow(`no target is configured for ${answer.connector}`),
  ].join('\n')
}

function callText({ method, url, headers, body }: NonNullable<DryRunRow['request']>): string {
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return [`${method} ${url}`, ...head, ...(body === null ? [] : ['', JSON.stringify(body, null, 2)])].join('\n')
}

function detail({ decisions, ...action }: ActionDetail): string {
  const rendered = action.rendered
    ? `${action.rendered.method} ${action.rendered.url}\n${JSON.stringify(action.rendered.body, null, 2)}`
    : JSON.stringify(action.args, null, 2)
  return [
    facts([
      ['action', `${action.id}  ${state(action.state)}`],
      ['what', `${action.type} on ${action.target} (${action.connector})`],
      [
        'who',
        `${action.agent_id}, answered by ${action.provider ?? '–'}${action.model && action.model !== action.provider ? `/${action.model}` : ''}`,
      ],
      ['why', `event ${action.event_id}, run ${action.invocation_id ?? '–'}`],
      ['result', action.remote_url ?? action.reason ?? '–'],
      ['confirmed by', action.confirmed_by ?? '–'],
      ['attempts', String(action.attempts)],
      ['expires', when(action.expires_at)],
      ...(action.state === 'HELD' ? [['held', countdown(action.hold_until)] as const] : []),
      ...(action.undo_of
        ? [['takes back', `${action.undo_of}, asked for by ${action.requested_by ?? '–'}`] as const]
        : []),
      ...action.undos.map((undo) => ['undo', `${String(undo['id'])} ${String(undo['state'])}`] as const),
      ...(action.state === 'SUCCEEDED' && action.undos.length === 0
        ? [['undo', `guild undo ${action.id}`] as const]
        : []),
    ]),
    ...(action.before ? [`${paint.dim('changed')}\n${changes(action.before, action.after).join('\n')}`] : []),
    `${paint.dim(action.state === 'SHADOWED' ? 'would have sent' : 'call')}\n${indent(rendered)}`,
    `${paint.dim('decisions')}\n${decisions.map((one) => `  ${paint.dim(when(one.at))} ${one.stage.padEnd(9)} ${state(one.outcome)}  ${one.reason}`).join('\n')}`,
  ].join('\n\n')
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}
