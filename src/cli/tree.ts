import type { TreeRow } from '../http/rows.ts'
import { facts, money, paint, state, when } from './print.ts'

/** A tree of causes as a person reads it: events, below each the runs it woke, below each what those caused. */
export function tree(row: TreeRow): string {
  const head = facts([
    ['began with', `${row.root}${row.person === null ? '' : ` by ${row.person}`}`],
    ['runs', `${row.runs}, ${row.depth} deep`],
    ['cost', `${money(row.cost_micros)}, ${row.tokens} tokens`],
  ])
  const known = new Set(row.invocations.map(({ id }) => id))
  // An event whose run is not among these (a thousand at most are shown) stands at the left.
  const tops = row.events.filter(({ causal_parent }) => causal_parent === null || !known.has(causal_parent))
  return `${head}\n\n${tops.flatMap((event) => eventLines(row, event, '')).join('\n')}`
}

function eventLines(row: TreeRow, event: TreeRow['events'][number], indent: string): readonly string[] {
  const runs = row.invocations.filter(({ event_id }) => event_id === event.id)
  const what = `${event.type} on ${event.subject_id} by ${event.actor}`
  const why = runs.length === 0 ? `: ${event.reason}` : ''
  return [
    `${indent}${when(event.received_at)}  ${what} ${state(event.disposition)}${why}  ${paint.dim(event.id)}`,
    ...runs.flatMap((run) => runLines(row, run, `${indent}  `)),
  ]
}

function runLines(row: TreeRow, run: TreeRow['invocations'][number], indent: string): readonly string[] {
  const why = [run.reason, run.held_reason].filter((part) => part !== null).join(', ')
  const caused = row.events.filter(({ causal_parent }) => causal_parent === run.id)
  return [
    `${indent}${paint.bold(run.agent_id)} ${state(run.state)}${why ? ` (${why})` : ''}, ${money(run.cost_micros)}, ${run.actions} actions  ${paint.dim(run.id)}`,
    ...caused.flatMap((event) => eventLines(row, event, `${indent}  `)),
  ]
}
