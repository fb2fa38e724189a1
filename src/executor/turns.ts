import type { Journal } from './journal.ts'
import { type ModelRequest, type ModelResponse, read, type Step, type ToolResponse } from './step.ts'

/** A model call that is done, with what became of the tool calls that it asked for. */
export interface Turn {
  readonly step: Step
  readonly request: ModelRequest
  readonly response: ModelResponse
  /** by call index; null: not done yet */
  readonly results: readonly (ToolResponse | null)[]
}

/** The step of the last finish; -1: the run has never ended. Behind it stands what a grant has set going again. */
export function lastFinish(journal: Journal): number {
  return Math.max(-1, ...journal.done.filter((step) => step.kind === 'finish').map((step) => step.seq))
}

/** A closing answer that a grant has overtaken stays in the journal, paid and told, but the conversation goes on without it. */
export function turnsOf(journal: Journal): readonly Turn[] {
  const known = turns.get(journal.done)
  if (known !== undefined) return known
  const told = toldBy(journal)
  turns.set(journal.done, told)
  return told
}

/** Asked a dozen times between two writes. */
const turns = new WeakMap<readonly Step[], readonly Turn[]>()

function toldBy(journal: Journal): readonly Turn[] {
  const done = new Map(journal.done.map((step) => [step.seq, step]))
  const ended = lastFinish(journal)
  return [...done.values()]
    .filter((step) => step.kind === 'llm' && !(step.seq < ended && read.modelRequest(step).closing !== null))
    .map((step) => {
      const response = read.modelResponse(step)
      const results = response.toolCalls.map((_, index) => {
        const call = done.get(step.seq + 1 + index)
        return call ? read.tool(call) : null
      })
      return { step, request: read.modelRequest(step), response, results }
    })
}
