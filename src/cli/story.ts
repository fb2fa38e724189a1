import type { StoryRow } from '../http/rows.ts'
import { facts, ms, paint, state } from './print.ts'

type Line = StoryRow['lines'][number]

/** A story as a person reads it: the verdict, then every record with the time since the first. */
export function story(row: StoryRow): string {
  const head = row.event
    ? facts([
        ['event', `${row.event.id}  ${row.event.type}  ${row.event.priority}`],
        ['trace', row.event.trace_id],
        ...(row.nearest ? [['nearest', row.nearest] as const] : []),
      ])
    : ''
  return [
    paint.bold(row.verdict),
    ...(head ? [head] : []),
    row.lines.map((line) => full(line, begin(row))).join('\n'),
  ].join('\n\n')
}

/** The hops alone: what arrived, who was woken, what each run came to, what was written, and what came back. */
export function hops(row: StoryRow): string {
  const began = begin(row)
  const at = (line: Line | undefined) => `+${ms(line ? new Date(line.at).getTime() - began : 0)}`.padStart(8)
  const decided = row.lines.find((line) => line.kind === 'decision')
  const event = row.event
    ? `${at(decided)}  ${paint.dim('dispatcher')}  ${row.event.type} ${state(row.event.disposition)}: ${firstLine(reasonOf(row))}  ${paint.dim(row.event.id)}`
    : `${at(decided)}  ${paint.dim('dispatcher')}  ${row.verdict}`
  const runs = row.invocations.map((run) => {
    const line = row.lines.findLast((one) => one.kind === 'run' && one.id === run.id)
    const tokens = run.input_tokens + run.output_tokens
    return `${at(line)}  ${paint.dim('executor  ')}  ${paint.bold(run.agent_id)} ${state(run.state)}, answered by ${run.provider ?? 'nobody yet'}, ${tokens} tokens: ${firstLine(run.summary ?? '')}  ${paint.dim(run.id)}`
  })
  const actions = row.actions.map((action) => {
    const line = row.lines.findLast((one) => one.kind === 'action' && one.id === action.id)
    const result = action.state === 'PROPOSED' ? 'waits for a person' : (action.remote_url ?? '')
    return `${at(line)}  ${paint.dim('actions   ')}  ${action.type} on ${action.target} ${state(action.state)}  ${result}  ${paint.dim(action.id)}`
  })
  const echoes = row.lines
    .filter((line) => line.kind === 'consequence')
    .map(
      (line) =>
        `${at(line)}  ${paint.dim('gateway   ')}  ${state(line.outcome)}: ${firstLine(line.text)}  ${paint.dim(line.id ?? '')}`,
    )
  return [event, ...runs, ...actions, ...echoes].join('\n')
}

function begin(row: StoryRow): number {
  return row.lines[0] ? new Date(row.lines[0].at).getTime() : 0
}

function full(line: Line, began: number): string {
  const after = `+${ms(new Date(line.at).getTime() - began)}`.padStart(9)
  // Further lines of a summary stand under the first, so that what begins at the margin is a record.
  const text = line.text.replaceAll('\n', `\n${' '.repeat(after.length + 11)}`)
  const rule = line.rule
    ? paint.dim(`  [${line.rule}${line.codex_commit ? ` @ ${line.codex_commit.slice(0, 7)}` : ''}]`)
    : ''
  return `${paint.dim(after)}  ${line.kind.padEnd(8)} ${state(line.outcome)}  ${text}${line.id ? paint.dim(`  ${line.id}`) : ''}${rule}`
}

function reasonOf(row: StoryRow): string {
  const { rule, reason } = row.event as { rule?: string | null; reason?: string } // loose row: both are there
  return `${reason ?? ''}${rule ? ` by ${rule}` : ''}`
}

function firstLine(text: string): string {
  const [line = ''] = text.split('\n')
  return line.length > 160 ? `${line.slice(0, 159)}…` : line
}
