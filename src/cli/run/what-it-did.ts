import type { RunDetail } from '../../http/rows.ts'
import { ms, paint, state } from '../print.ts'
import { wrap } from '../wrap.ts'
import type { ShowOptions } from './show-run.ts'
import { argumentsOf, bytes } from './sizes.ts'
import { type CallStep, type RunSteps, tookMs } from './steps.ts'

type Proposed = RunDetail['proposed'][number]

/** Reads with the size of what came back; writes with their receipt, and what has become of them since. */
export function whatItDid(run: RunDetail, { calls }: RunSteps, options: ShowOptions): string {
  if (calls.length === 0)
    return run.finished_at === null ? 'Nothing yet.' : 'Nothing: no tool was used and nothing was written.'
  const known = new Map(run.proposed.map((action) => [action.id, action]))
  return calls
    .map((step) => (step.kind === 'tool_read' ? readOf(step, options) : wrote(step, known, options)))
    .join('\n')
}

function readOf(step: CallStep, options: ShowOptions): string {
  const { name, request, response } = step
  const took = tookMs(step)
  const result =
    response === null
      ? paint.dim('its words are not kept any more')
      : response.isError
        ? paint.yellow(response.text.replaceAll(/\s+/g, ' ').slice(0, options.full ? undefined : 160))
        : `${bytes(response.text)}, ${response.integrity}${response.repeated ? ', from the journal: it had asked the same before' : ''}`
  const asked = argumentsOf(request?.args, options.full ? 100_000 : 60)
  return `${paint.dim('read ')}  ${name} ${paint.dim(asked)}  ${result}${took === null ? '' : paint.dim(`  ${ms(took)}`)}`
}

function wrote({ name, response }: CallStep, known: ReadonlyMap<string, Proposed>, options: ShowOptions): string {
  const action = response?.actionId ? known.get(response.actionId) : undefined
  const receipt = receiptOf(response?.text ?? '')
  const now = action ? ` → ${state(action.state)}` : ''
  const head = `${paint.dim('write')}  ${paint.bold(name)}${action ? ` on ${action.target}` : ''}  ${receipt.status}${now}`
  const why = action?.state === 'SUCCEEDED' ? '' : (action?.reason ?? receipt.reason)
  const lines = [
    ...(why ? wrap(why, options.width - 10).map(paint.dim) : []),
    ...(action?.remote_url ? [action.remote_url] : []),
    ...(response?.actionId ? [paint.dim(`guild actions show ${response.actionId}`)] : []),
  ]
  return [head, ...lines.map((line) => `       ${line}`)].join('\n')
}

/** What the model was told: true when it was told, whatever has happened since. */
function receiptOf(text: string): { readonly status: string; readonly reason: string } {
  try {
    const { status, reason } = JSON.parse(text) as { status?: unknown; reason?: unknown } // our own receipt, or not
    return {
      status: typeof status === 'string' ? status.replaceAll('_', ' ') : 'receipt not kept',
      reason: typeof reason === 'string' ? reason : '',
    }
  } catch {
    return { status: 'receipt not kept', reason: '' } // retention took the words away
  }
}
