import type { RunDetail } from '../../http/rows.ts'
import { money, paint, plural, table } from '../print.ts'
import type { ModelStep, RunSteps } from './steps.ts'

/** Micro-dollars as dollars, exactly: a call may cost a thousandth of a cent. */
export function dollars(micros: number): string {
  return `$${(micros / 1_000_000).toFixed(6).replace(/(\.\d{2}\d*?)0+$/, '$1')}`
}

/** Per call: tokens in, of these from and into the cache, out, and money; then the sum, against the limits of the agent. */
export function whatItCost(run: RunDetail, { model }: RunSteps): string {
  const paid = model.filter((step) => step.usage !== null && !isFree(step))
  if (paid.length === 0)
    return model.every(isFree) ? 'Nothing: no model was asked.' : 'Nothing: no answer came that had to be paid for.'
  const rows = table(paid, [
    { head: 'call', cell: (step) => `${step.seq}${step.attempt > 1 ? `.${step.attempt}` : ''}`, align: 'right' },
    { head: 'model', cell: (step) => step.name },
    {
      head: 'in',
      cell: (step) => count(step, (usage) => usage.inputNocache + usage.inputCacheRead + usage.inputCacheWrite),
      align: 'right',
    },
    { head: 'from cache', cell: (step) => count(step, (usage) => usage.inputCacheRead), align: 'right' },
    { head: 'to cache', cell: (step) => count(step, (usage) => usage.inputCacheWrite), align: 'right' },
    { head: 'out', cell: (step) => count(step, (usage) => usage.outputText + usage.outputReasoning), align: 'right' },
    { head: 'cost', cell: (step) => dollars(step.usage?.costMicros ?? 0), align: 'right' },
    { head: 'prices', cell: (step) => step.request?.price?.version ?? 'unknown' },
    { head: '', cell: (step) => (step.usage?.estimated ? paint.yellow('estimated') : ''), flexible: true },
  ])
  const tokens = run.input_tokens + run.output_tokens
  const sum = `${plural(paid.length, 'call')}, ${tokens.toLocaleString('en-US')} tokens, ${dollars(run.cost_micros)}`
  return [rows, `${paint.bold(sum)}${shares(run, tokens)}`].join('\n')
}

/** Of the limits of today's manifest, when it is of the version that ran. */
function shares(run: RunDetail, tokens: number): string {
  const { limits } = run
  if (!limits || limits.agent_version !== run.agent_version) return ''
  const parts = [
    ...(limits.tokens === null
      ? []
      : [`${share(tokens, limits.tokens)} of ${limits.tokens.toLocaleString('en-US')} tokens`]),
    ...(limits.cost_micros === null
      ? []
      : [`${share(run.cost_micros, limits.cost_micros)} of ${money(limits.cost_micros)}`]),
  ]
  return parts.length > 0 ? paint.dim(`  (${parts.join(', ')} that a run may use)`) : ''
}

function share(part: number, whole: number): string {
  return whole === 0 ? '–' : `${Math.round((100 * part) / whole)} %`
}

function isFree({ name, request }: ModelStep): boolean {
  const provider = request?.provider ?? name
  return provider === 'rules' || provider === 'replay'
}

function count({ usage }: ModelStep, of: (usage: NonNullable<ModelStep['usage']>) => number): string {
  return usage ? of(usage).toLocaleString('en-US') : '–'
}
