import { type Redactor, withheldStub } from '../guards/privacy/redact.ts'
import type { JsonObject, JsonValue } from '../kernel/json.ts'
import type { RowChange } from './entry.ts'
import type { Step, StepKind } from './step.ts'

/** The members of a step that hold words of others: text of models, tools, events and errors. The rest is ours: names, numbers, hashes. */
const words: Readonly<Record<StepKind, { readonly request: readonly string[]; readonly response: readonly string[] }>> =
  {
    codex: { request: [], response: [] },
    context: { request: ['args'], response: ['text', 'data', 'why'] },
    llm: { request: ['steer', 'closing'], response: ['text'] },
    tool_read: { request: ['args'], response: ['text', 'errorClass'] },
    action: { request: ['args'], response: ['text', 'errorClass'] },
    handoff: { request: ['args'], response: ['text', 'errorClass'] },
    finish: { request: [], response: ['detail'] },
  }

/** A step as the journal may keep it: secrets are gone, and where the guard fails, so are the words. Never throws. */
export function cleanStep(step: Step, redactor: Redactor): Step {
  const { request, response } = words[step.kind]
  const cleaned = cleanMembers(step.response, response, redactor)
  return {
    ...step,
    request: cleanMembers(step.request, request, redactor),
    response: step.kind === 'llm' ? cleanAnswer(cleaned, redactor) : cleaned,
    error: step.error === null ? null : redactor.storedText(step.error),
  }
}

/** The run's own row: what it says it did, and why it ended. */
export function cleanRow(row: RowChange, redactor: Redactor): RowChange {
  return {
    ...row,
    ...(typeof row.detail === 'string' && { detail: redactor.storedText(row.detail) }),
    ...(row.summary !== undefined && { summary: redactor.storedText(row.summary) }),
    ...(row.output !== undefined && { output: redactor.stored(row.output, null) }),
  }
}

function cleanMembers(value: JsonValue, names: readonly string[], redactor: Redactor): JsonValue {
  if (!isObject(value)) return value
  let clean: JsonObject = value
  for (const name of names) {
    const member = value[name]
    if (member === null || member === undefined) continue
    const kept = typeof member === 'string' ? redactor.storedText(member) : redactor.stored(member, null)
    if (kept !== member) clean = { ...clean, [name]: kept }
  }
  return clean
}

/** What the model wants done, and the vendor's signed part, which cannot be changed, only left out. */
function cleanAnswer(value: JsonValue, redactor: Redactor): JsonValue {
  if (!isObject(value)) return value
  const { toolCalls, opaque } = value
  const calls = Array.isArray(toolCalls) ? (toolCalls as readonly JsonValue[]) : [] // a list in JSON holds JSON
  const changed = redactor.stored(opaque, withheldStub) !== opaque
  return {
    ...value,
    ...(calls.length > 0 && { toolCalls: calls.map((call) => cleanMembers(call, ['args'], redactor)) }),
    ...(changed && { opaque: null }),
  }
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
