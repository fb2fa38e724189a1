import type { RunDetail } from '../../http/rows.ts'
import { ms, paint } from '../print.ts'
import { wrap } from '../wrap.ts'
import type { ShowOptions } from './show-run.ts'
import { argumentsOf } from './sizes.ts'
import { type ModelStep, type RunSteps, tookMs } from './steps.ts'

const linesMax = 14

/** Every answer with who gave it, in its own words, and what it asked for. */
export function whatItThought(run: RunDetail, { model }: RunSteps, options: ShowOptions): string {
  const told = model.map((step) => answer(step, options))
  if (told.length > 0) return told.join('\n')
  return run.finished_at === null ? 'Nothing yet.' : 'Nothing: it ended before anybody was asked.'
}

function answer(step: ModelStep, options: ShowOptions): string {
  const { request, response } = step
  const took = tookMs(step)
  const head = `${paint.cyan(whoOf(step))}${took === null ? '' : paint.dim(`  ${ms(took)}`)}`
  const lines = [
    ...(request?.steer ? [paint.dim(`told before: ${request.steer}`)] : []),
    ...(request?.closing ? [paint.dim(`asked for a last word: ${request.closing.detail}`)] : []),
    ...outcome(step, options),
    ...(response?.toolCalls ?? []).map(
      (call) =>
        `${paint.bold('→')} ${call.name}  ${paint.dim(argumentsOf(call.args, options.full ? 100_000 : options.width - call.name.length - 10))}`,
    ),
  ]
  return [head, ...lines.map((line) => `  ${line}`)].join('\n')
}

function whoOf({ name, request, response, attempt }: ModelStep): string {
  const provider = response?.provider ?? request?.provider ?? name
  const model = response?.model ?? request?.model ?? ''
  if (provider === 'rules') return 'rules, no model was asked'
  const recorded = provider === 'replay' ? ' (a recording)' : ''
  const said = [provider, model].filter(Boolean).join('/')
  return `${said}${recorded}${attempt > 1 ? `, attempt ${attempt}` : ''}`
}

function outcome({ status, response, error }: ModelStep, options: ShowOptions): readonly string[] {
  if (status === 'INTENT') return [paint.yellow('no answer yet')]
  if (status !== 'DONE') return wrap(`${status}: ${error ?? 'no reason is known'}`, options.width - 6).map(paint.yellow)
  if (!response) return [paint.dim('its words are not kept any more')]
  const lines = response.text.trim() === '' ? [] : wrap(response.text.trim(), options.width - 6)
  const shown = options.full ? lines : lines.slice(0, linesMax)
  return [
    ...shown.map((line) => `${paint.dim('│')} ${line}`),
    ...(shown.length < lines.length ? [paint.dim(`… ${lines.length - shown.length} more lines: --full`)] : []),
    ...(response.stop === 'length' ? [paint.yellow('the answer reached its length limit')] : []),
    ...(response.stop === 'refusal' ? [paint.yellow('the model refused')] : []),
  ]
}
