import type { RunDetail } from '../../http/rows.ts'
import { paint, table } from '../print.ts'
import { bytes, size } from './sizes.ts'
import type { ContextStep, RunSteps } from './steps.ts'

/** Context, in the order of the manifest, with how far its authors are trusted, and what was kept from the model. */
export function whatItSaw(run: RunDetail, { context, model }: RunSteps): string {
  const trimmed = Math.max(0, ...model.map((step) => step.request?.trim ?? 0))
  const rows = table(context, [
    { head: 'item', cell: (step) => step.name },
    {
      head: 'size',
      cell: (step) => (step.response?.outcome === 'read' ? bytes(step.response.text) : '–'),
      align: 'right',
    },
    { head: 'trust', cell: (step) => (step.response?.outcome === 'read' ? step.response.integrity : '–') },
    { head: 'from', cell: (step) => step.request?.tool ?? 'a file of the Codex' },
    { head: '', cell: note, flexible: true },
  ])
  const { event_type, source, event_integrity, event_bytes } = run as EventFacts
  const event = `The event: ${event_type ?? run.event_id}${source ? ` from ${source}` : ''}${event_bytes ? `, ${size(event_bytes)}` : ''}${event_integrity ? `, its author ${authors[event_integrity] ?? event_integrity}` : ''}.`
  return [
    event,
    context.length > 0 ? rows : 'Nothing else: its manifest names no context.',
    ...(trimmed > 0 ? [paint.yellow(trimNote(trimmed))] : []),
  ].join('\n')
}

function note({ status, response, error }: ContextStep): string {
  if (status !== 'DONE') return paint.red(error ?? status)
  switch (response?.outcome) {
    case undefined:
      return paint.dim('its words are not kept any more')
    case 'read':
      return paint.yellow(/\[(cut: \d+ of \d+ bytes left out)\]$/.exec(response.text)?.[1] ?? '')
    case 'withheld':
      return paint.yellow(`withheld: ${response.why ?? 'not trusted enough'}`)
    case 'skipped':
      return paint.dim(response.why ?? 'not needed')
    default:
      return paint.yellow(`${response?.outcome}: ${response?.why ?? 'no reason is known'}`)
  }
}

function trimNote(trim: number): string {
  return trim === 1
    ? 'The model found it too long: what is not required was left out.'
    : `The model found it too long ${trim} times: only what is required was sent, cut to a ${2 ** (trim - 1)}th.`
}

/** Of a loose row: the query of one run gives them. */
interface EventFacts {
  readonly event_type?: string
  readonly source?: string
  readonly event_integrity?: string | null
  readonly event_bytes?: number
}

const authors: Readonly<Record<string, string>> = {
  verified: 'verified',
  member: 'a member',
  outsider: 'an outsider',
  public: 'anybody',
}
