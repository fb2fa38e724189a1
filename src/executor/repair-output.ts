import { compileJsonSchema } from '../codex/json-schema.ts'
import type { JsonValue } from '../kernel/json.ts'
import type { Run } from './run-context.ts'
import type { Turn } from './turns.ts'

const complaintsMax = 10

export interface Judged {
  readonly output: JsonValue
  /** what the manifest's schema says against the answer; empty: it fits, or none is expected */
  readonly wrong: readonly string[]
}

/** The final answer as the manifest wants it. Rules answer in words: the schema is a promise of models. */
export function judgeOutput({ agent }: Run, { response }: Turn): Judged {
  if (agent.output === null || response.provider === 'rules') return { output: null, wrong: [] }
  const output = parsed(response.text.trim())
  return { output, wrong: output === null ? ['no JSON'] : compileJsonSchema(agent.output)(output) }
}

/**
 * What to say to the model so that it gives its answer the shape that the manifest asks for: once in a run, as a counted call. null: the
 * answer fits, or has been asked for before.
 */
export function repairOf(run: Run, turns: readonly Turn[]): string | null {
  const last = turns.at(-1)
  if (!last || last.request.closing || turns.some((turn) => turn.request.repair)) return null
  const { wrong } = judgeOutput(run, last)
  if (wrong.length === 0) return null
  const told = wrong.slice(0, complaintsMax).map((complaint) => `- ${complaint.slice(0, 300)}`)
  const more = wrong.length > told.length ? [`- and ${wrong.length - told.length} more`] : []
  const cut = last.response.stop === 'length' ? ['It reached its length limit: be shorter.'] : []
  return [
    'Your answer does not fit the JSON Schema it must have:',
    ...told,
    ...more,
    ...cut,
    'Give the whole answer again, as JSON alone, without calling any tool.',
  ].join('\n')
}

function parsed(text: string): JsonValue {
  try {
    // Models like to put JSON into a fence of their own.
    return JSON.parse(text.replace(/^```(?:json)?\s*([\s\S]*?)\s*```$/, '$1')) as JsonValue // JSON.parse returns JSON
  } catch {
    return null // said by whoever judges
  }
}
