import { z } from 'zod'
import type { RunDetail } from '../../http/rows.ts'

/**
 * The journal of a run as the API gives it, read leniently: content that retention has removed is null, and a step of a newer guild may
 * say more than this one knows.
 */
const common = {
  seq: z.number(),
  attempt: z.number(),
  name: z.string(),
  status: z.string(),
  error: z.string().nullable(),
  started_at: z.string(),
  finished_at: z.string().nullable(),
}
const text = z.string().catch('')
const optional = z.string().nullable().catch(null)

const context = z.object({
  ...common,
  kind: z.literal('context'),
  request: z.object({ tool: optional }).nullable().catch(null),
  response: z.object({ outcome: text, text, integrity: text, why: optional }).nullable().catch(null),
})
const usage = z.object({
  inputNocache: z.number(),
  inputCacheRead: z.number(),
  inputCacheWrite: z.number(),
  outputText: z.number(),
  outputReasoning: z.number(),
  costMicros: z.number(),
  estimated: z.boolean(),
})
const model = z.object({
  ...common,
  kind: z.literal('llm'),
  request: z
    .object({
      provider: text,
      model: text,
      steer: optional,
      closing: z.object({ detail: text }).nullable().catch(null),
      trim: z.number().catch(0),
      price: z.object({ version: text }).nullable().catch(null),
    })
    .nullable()
    .catch(null),
  response: z
    .object({
      text,
      stop: text,
      provider: text,
      model: text,
      toolCalls: z.array(z.object({ name: text, args: z.unknown() })).catch([]),
    })
    .nullable()
    .catch(null),
  usage: usage.nullable().catch(null),
})
const call = z.object({
  ...common,
  kind: z.enum(['tool_read', 'action', 'handoff']),
  request: z.object({ args: z.unknown() }).nullable().catch(null),
  response: z
    .object({
      text,
      isError: z.boolean().catch(false),
      integrity: text,
      repeated: z.boolean().catch(false),
      actionId: optional,
    })
    .nullable()
    .catch(null),
})
const other = z.object({ ...common, kind: z.string() })

export type ContextStep = z.infer<typeof context>
export type ModelStep = z.infer<typeof model>
export type CallStep = z.infer<typeof call>
export type AnyStep = z.infer<typeof other>

export interface RunSteps {
  readonly all: readonly AnyStep[]
  /** the last attempt of each */
  readonly context: readonly ContextStep[]
  /** every attempt: each may have cost something */
  readonly model: readonly ModelStep[]
  readonly calls: readonly CallStep[]
}

export function stepsOf(run: RunDetail): RunSteps {
  const read = <T>(schema: z.ZodType<T>) =>
    run.steps.flatMap((step) => {
      const parsed = schema.safeParse(step)
      return parsed.success ? [parsed.data] : []
    })
  const contexts = new Map(read(context).map((step) => [step.seq, step]))
  return { all: read(other), context: [...contexts.values()], model: read(model), calls: read(call) }
}

export function tookMs({ started_at, finished_at }: AnyStep): number | null {
  return finished_at === null ? null : Date.parse(finished_at) - Date.parse(started_at)
}

/** Rules and recordings answer for nothing. */
export function boughtAnswer({ name, status, request, response }: ModelStep): boolean {
  const provider = response?.provider ?? request?.provider ?? name
  return status === 'DONE' && provider !== 'rules' && provider !== 'replay'
}
