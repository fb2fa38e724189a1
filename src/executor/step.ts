import { z } from 'zod'
import { detectorClasses } from '../kernel/data-class.ts'
import { integrities } from '../kernel/event.ts'
import type { JsonValue } from '../kernel/json.ts'
import { setOwn } from '../kernel/own.ts'
import { levelNames } from '../ledger/ledger.ts'
import { endReasons } from './ending.ts'

/** One line of the journal, `run_steps`. Of the attempts at one `seq` at most one is DONE, and then it is only read. */
export interface Step {
  readonly seq: number
  readonly attempt: number
  readonly kind: StepKind
  /** commit, context id, model alias, tool or action type */
  readonly name: string
  readonly status: 'INTENT' | 'DONE' | 'FAILED' | 'LOST'
  readonly request_hash: string | null
  readonly request: JsonValue
  readonly response: JsonValue
  readonly usage: JsonValue
  readonly error: string | null
  readonly started_at: string
  readonly finished_at: string | null
}
export type StepKind = 'codex' | 'context' | 'llm' | 'tool_read' | 'action' | 'handoff' | 'finish'

/** Fills what a step does not say. */
export function aStep(
  step: Pick<Step, 'seq' | 'attempt' | 'kind' | 'name' | 'status' | 'started_at'> & Partial<Step>,
): Step {
  return {
    request_hash: null,
    request: null,
    response: null,
    usage: null,
    error: null,
    finished_at: step.status === 'INTENT' ? null : step.started_at,
    ...step,
  }
}

const integrity = z.enum(integrities)

const json: z.ZodType<JsonValue> = z.json()

/** `response` of a context step. `data` is what conditions and templates read; null: they read `text`. */
const contextResponse = z.object({
  outcome: z.enum(['read', 'skipped', 'unavailable', 'withheld']),
  text: z.string(),
  data: json,
  integrity,
  why: z.string().nullable(),
})
export type ContextResponse = z.infer<typeof contextResponse>

/** `request` of a model step: all that the transcript cannot say by itself. */
const modelRequest = z.object({
  alias: z.string(),
  provider: z.string(),
  model: z.string(),
  /** said to the model before this call because a limit is near */
  steer: z.string().nullable(),
  /** set: the closing call, without tools, because of this limit */
  closing: z.object({ reason: z.enum(endReasons), detail: z.string() }).nullable(),
  /** this call asks for the final answer again, in the shape of the manifest's schema; `steer` says what is wrong */
  repair: z.boolean().default(false),
  /** how much was left out because it did not fit: rungs of the ladder in `trim.ts` */
  trim: z.number(),
  /** where the budgets stood, as the model was told */
  level: z.enum(levelNames).default('green'),
  reservation: z.string().nullable(),
  /** bound of the input: charged if the call is lost */
  inputTokens: z.number(),
  /** its strict bound in bytes; 0: not known */
  inputBytes: z.number().default(0),
  price: z
    .object({
      version: z.string(),
      inputPerMillion: z.number(),
      outputPerMillion: z.number(),
      cacheReadPerMillion: z.number(),
      cacheWritePerMillion: z.number(),
    })
    .nullable(),
  /** catalogue code of a failed attempt */
  code: z.string().nullable(),
  /** what the provider was told a placeholder for and had not been before, in the order of their numbers */
  named: z.array(z.object({ kind: z.enum(detectorClasses), value: z.string() })).default([]),
})
export type ModelRequest = z.infer<typeof modelRequest>

const modelResponse = z.object({
  text: z.string(),
  toolCalls: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      args: json,
      /** kinds of secrets that the model had put into the arguments; they were taken out before this was stored */
      leaks: z.array(z.string()).optional(),
    }),
  ),
  stop: z.enum(['end', 'tool_calls', 'length', 'refusal']),
  provider: z.string(),
  model: z.string(),
  opaque: z.record(z.string(), json).nullable(),
})
export type ModelResponse = z.infer<typeof modelResponse>

const modelUsage = z.object({
  inputNocache: z.number(),
  inputCacheRead: z.number(),
  inputCacheWrite: z.number(),
  outputText: z.number(),
  outputReasoning: z.number(),
  costMicros: z.number(),
  estimated: z.boolean(),
})
export type ModelUsage = z.infer<typeof modelUsage>

/** `response` of a tool call, read or action: what the model is told. */
const toolResponse = z.object({
  isError: z.boolean(),
  text: z.string(),
  integrity,
  resultHash: z.string(),
  /** tool, arguments and result without times, ids and counters; null: written before there was one */
  steadyHash: z.string().nullable().default(null),
  /** of errors: what makes two of them the same */
  errorClass: z.string().nullable(),
  /** answered from the journal, not by the tool */
  repeated: z.boolean(),
  /** set on actions that policy accepted */
  actionId: z.string().nullable(),
  accepted: z.boolean(),
})
export type ToolResponse = z.infer<typeof toolResponse>

const once = {
  context: parsedOnce(contextResponse),
  modelRequest: parsedOnce(modelRequest),
  modelResponse: parsedOnce(modelResponse),
  modelUsage: parsedOnce(modelUsage),
  tool: parsedOnce(toolResponse),
} as const

export const read = {
  answer: (value: unknown): ModelResponse => modelResponse.parse(storable(value)),
  context: (step: Step): ContextResponse => once.context(step.response),
  modelRequest: (step: Step): ModelRequest => once.modelRequest(step.request),
  modelResponse: (step: Step): ModelResponse => once.modelResponse(step.response),
  modelUsage: (step: Step): ModelUsage | null => (step.usage === null ? null : once.modelUsage(step.usage)),
  tool: (step: Step): ToolResponse => once.tool(step.response),
} as const

/** A step is read at every turn of its run, and nobody changes it: what it holds is parsed the first time. */
function parsedOnce<T>(schema: z.ZodType<T>): (value: JsonValue) => T {
  const known = new WeakMap<object, T>()
  return (value) => {
    if (typeof value !== 'object' || value === null) return schema.parse(value)
    const before = known.get(value)
    if (before !== undefined) return before
    const parsed = schema.parse(value)
    known.set(value, parsed)
    return parsed
  }
}

const rows = z.array(
  z.object({
    seq: z.number(),
    attempt: z.number(),
    kind: z.enum(['codex', 'context', 'llm', 'tool_read', 'action', 'handoff', 'finish']),
    name: z.string(),
    status: z.enum(['INTENT', 'DONE', 'FAILED', 'LOST']),
    request_hash: z.string().nullable(),
    request: json,
    response: json,
    usage: json,
    error: z.string().nullable(),
    started_at: z.string(),
    finished_at: z.string().nullable(),
  }),
)

export function readSteps(value: unknown): readonly Step[] {
  return rows.parse(value)
}

/**
 * A value as a row can hold it. PostgreSQL's jsonb takes neither U+0000 nor a lone surrogate, and text of models and tools contains
 * both now and then; the replacement character takes their place, once, before anything is hashed or stored.
 */
export function storable(value: unknown): JsonValue {
  return copied(value, 0) ?? null
}

/** Deeper values, and what says itself how it is written, go through text. */
const copiedDepthMax = 64

/** As JSON.stringify and JSON.parse would make it, without the text in between; undefined: JSON leaves it out. */
function copied(value: unknown, depth: number): JsonValue | undefined {
  if (typeof value === 'string') return storableString(value)
  if (typeof value === 'boolean' || value === null) return value
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : null
  if (typeof value !== 'object') return undefined
  if (depth < copiedDepthMax && Array.isArray(value)) return value.map((item) => copied(item, depth + 1) ?? null)
  if (depth >= copiedDepthMax || !isPlain(value)) {
    return JSON.parse(storableText(value)) as JsonValue // what JSON.stringify wrote is JSON
  }
  const members: Record<string, JsonValue> = {}
  for (const key of Object.keys(value)) {
    const kept = copied((value as Readonly<Record<string, unknown>>)[key], depth + 1) // a key of its own
    if (kept !== undefined) setOwn(members, storableString(key), kept)
  }
  return members
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === null) && !('toJSON' in value)
}

function storableString(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  return whole.includes('\u0000') ? whole.replaceAll('\u0000', '\ufffd') : whole
}

export function storableText(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null'
  if (!text.includes('\\u')) return text
  // JSON.stringify escapes exactly these; an even number of backslashes before is text that only looks like an escape.
  return text.replaceAll(/(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g, '$1\\ufffd')
}
