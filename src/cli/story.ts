import type { StoryRow } from '../http/rows.ts'
import { facts, ms, paint, state } from './print.ts'

/** A story as a person reads it: the verdict, then every record with the time since the first. */
export function story(row: StoryRow): string {
  const began = row.lines[0] ? new Date(row.lines[0].at).getTime() : 0
  const lines = row.lines.map((line) => {
    const after = `+${ms(new Date(line.at).getTime() - began)}`.padStart(9)
    const where = line.rule
      ? paint.dim(`  [${line.rule}${line.codex_commit ? ` @ ${line.codex_commit.slice(0, 7)}` : ''}]`)
      : ''
    return `${paint.dim(after)}  ${line.kind.padEnd(8)} ${state(line.outcome)}  ${line.text}${line.id ? paint.dim(`  ${line.id}`) : ''}${where}`
  })
  const head = row.event
    ? facts([
        ['event', `${row.event.id}  ${row.event.type}  ${row.event.priority}`],
        ['trace', row.event.trace_id],
        ...(row.nearest ? [['nearest', row.nearest] as const] : []),
      ])
    : ''
  return [paint.bold(row.verdict), ...(head ? [head] : []), lines.join('\n')].join('\n\n')
}
