import type { RunDetail } from '../../http/rows.ts'
import { facts, ms, paint, state, table, when } from '../print.ts'
import { wrap } from '../wrap.ts'
import { whatItCost } from './what-it-cost.ts'
import { whatItDid } from './what-it-did.ts'
import { whatItSaw } from './what-it-saw.ts'
import { whatItThought } from './what-it-thought.ts'
import { boughtAnswer, type RunSteps, stepsOf, tookMs } from './steps.ts'
import { whyItStopped } from './why-it-stopped.ts'

export interface ShowOptions {
  /** every word, nothing cut */
  readonly full: boolean
  /** columns of the terminal */
  readonly width: number
}

/** One run as a person reads it: what it was, why it stopped, what it saw, thought, did and cost. */
export function showRun(run: RunDetail, options: ShowOptions): string {
  const steps = stepsOf(run)
  const sections: readonly (readonly [string, string])[] = [
    ['What it saw', whatItSaw(run, steps)],
    ['What it thought to do', whatItThought(run, steps, options)],
    ['What it did', whatItDid(run, steps, options)],
    ['What it cost', whatItCost(run, steps)],
    ['When', timeline(run, steps)],
    ['More', more(run, steps)],
  ]
  return [header(run, options), ...sections.map(([title, body]) => `${paint.bold(title)}\n${indent(body)}`)].join(
    '\n\n',
  )
}

function header(run: RunDetail, { width }: ShowOptions): string {
  const { event_type, subject_id, chapter } = run as {
    event_type?: string
    subject_id?: string
    chapter?: string | null
  } // a loose row: the query gives them
  const woken = [event_type, subject_id && `on ${subject_id}`].filter(Boolean).join(' ')
  return [
    `${paint.bold(run.agent_id)} ${run.agent_version}  ${state(run.state)}${run.reason ? ` ${run.reason}` : ''}  ${paint.dim(run.id)}`,
    ...wrap(whyItStopped(run), width),
    '',
    facts([
      ['woken by', woken || run.event_id],
      ['rule', `${run.rule} @ ${run.codex_commit.slice(0, 12)}`],
      ['priority', `${run.priority}${chapter ? `, chapter ${chapter}` : ''}`],
      ...(run.summary ? [['summary', firstOf(run.summary, width - 12)] as const] : []),
    ]),
  ].join('\n')
}

function timeline(run: RunDetail, { all }: RunSteps): string {
  const begun = Date.parse(run.queued_at)
  const after = (at: string) => `+${ms(Math.max(0, Date.parse(at) - begun))}`
  const rows = [
    { at: '', what: `queued ${when(run.queued_at)}`, took: '', note: '' },
    ...all.map((step) => {
      const took = tookMs(step)
      return {
        at: after(step.started_at),
        what: `${kinds[step.kind] ?? step.kind} ${step.kind === 'codex' ? step.name.slice(0, 12) : step.name}`,
        took: took === null ? 'not yet' : ms(took),
        note:
          step.status === 'DONE'
            ? ''
            : `${step.status}${step.attempt > 1 ? `, attempt ${step.attempt}` : ''}${step.error ? `: ${step.error}` : ''}`,
      }
    }),
  ]
  return table(rows, [
    { head: 'after', cell: (row) => row.at, align: 'right' },
    { head: 'what', cell: (row) => row.what },
    { head: 'took', cell: (row) => row.took, align: 'right' },
    { head: '', cell: (row) => (row.note ? paint.yellow(row.note) : ''), flexible: true },
  ])
}

const kinds: Readonly<Record<string, string>> = {
  codex: 'loaded Codex',
  context: 'fetched',
  llm: 'asked',
  tool_read: 'read',
  action: 'proposed',
  finish: 'ended',
}

function more(run: RunDetail, { model }: RunSteps): string {
  const { transcript_ref: path } = run as { readonly transcript_ref?: string | null } // a loose row
  const over = run.finished_at !== null
  return facts([
    ['every decision', `guild why ${run.id}`],
    ['the event', `guild why ${run.event_id}`],
    ['transcript', path ?? (over ? 'none is kept' : 'written when it ends')],
    ...(path && model.some(boughtAnswer) ? [['record it', `guild runs record ${run.id}`] as const] : []),
    ['trace', run.trace_id],
  ])
}

function firstOf(text: string, width: number): string {
  const [first = '', ...rest] = wrap(text, width)
  return rest.length > 0 ? `${first} …` : first
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? line : `  ${line}`))
    .join('\n')
}
