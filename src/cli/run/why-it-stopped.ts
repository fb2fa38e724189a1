import type { RunDetail } from '../../http/rows.ts'
import { plural, when } from '../print.ts'

const reasons: Readonly<Record<string, string>> = {
  BUDGET_RUN: 'the budget of this run is used up',
  BUDGET_AGENT: 'the budget of its agent is used up',
  BUDGET_CHAPTER: 'the budget of its chapter is used up',
  BUDGET_ORG: 'the budget of the organisation is used up',
  MAX_STEPS: 'it made as many model calls as it may',
  MAX_TOOL_CALLS: 'it made as many tool calls as it may',
  DEADLINE: 'its time was over',
  LOOP: 'it went in a circle',
  CAUSAL_DEPTH: 'the chain of causes became too long',
  POLICY: 'it was refused',
  PROVIDER: 'no model answered',
  TOOL: 'something it needs could not be read',
  CODEX_INVALID: 'its Codex could not be used',
  CANCELLED: 'a person cancelled it',
  OVERRIDDEN: 'a person took over',
  POISON: 'it failed again and again at the same step',
}

/** Why the run is where it is, in a sentence. */
export function whyItStopped(run: RunDetail, now = new Date()): string {
  const detail = run.reason_detail ?? ''
  const because = run.reason ? `${reasons[run.reason] ?? run.reason}${detail ? ` – ${detail}` : ''}` : detail
  switch (run.state) {
    case 'COMPLETED':
      return because ? `It came to its end: ${because}.` : 'It came to its end.'
    case 'STOPPED':
      return `It was stopped: ${because}. What it had proposed until then stands.`
    case 'FAILED':
      return `It failed: ${because}.`
    case 'DEAD':
      return `It was given up: ${because}. \`guild dead\` has the letter.`
    case 'QUEUED':
      return 'It waits for a worker.'
    case 'ADMITTED':
      return `It goes on from its journal as soon as a worker is free${run.attempts > 1 ? `, after ${plural(run.attempts, 'attempt')}` : ''}${because && `: ${because}`}.`
    case 'RUNNING':
      return `It is at work since ${when(run.started_at, now)}, attempt ${run.attempts}.`
    default:
      return `It waits${waitsUntil(run, now)}${because ? `: ${because}` : ''}.`
  }
}

function waitsUntil(run: RunDetail, now: Date): string {
  const { not_before: until } = run as { readonly not_before?: string | null } // a loose row: the field is there when it waits for a time
  const what = run.state.replace(/^WAITING_/, '').toLowerCase()
  const subject = what === 'rate' ? '' : ` for ${what === 'input' ? 'a person' : `an ${what}`}`
  return `${subject}${until ? ` until ${when(until, now)}` : ''}`
}
