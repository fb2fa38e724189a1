import type { LlmEndpoint } from '../endpoint.ts'
import type { LlmRequest } from '../llm.ts'

/** How a vendor is asked for JSON: by its own constrained answer, by its loose one, or by words at the end of the system text. */
export type OutputMode = 'strict' | 'loose' | 'words' | 'none'

/**
 * Only a vendor that lets tools be called while the answer has a format is told the format beside tools; servers that speak like one
 * mostly forbid the calls then (vLLM, llama.cpp). Without tools (the closing call) nothing is lost by asking.
 * https://platform.claude.com/docs/en/build-with-claude/structured-outputs
 * https://platform.openai.com/docs/guides/structured-outputs
 */
export function outputMode(
  endpoint: Pick<LlmEndpoint, 'api' | 'nativeOutput'>,
  { output, tools, model }: Pick<LlmRequest, 'output' | 'tools' | 'model'>,
): OutputMode {
  if (output === null) return 'none'
  if (tools.length === 0) return endpoint.nativeOutput && isStrict(output) ? 'strict' : 'loose'
  if (!endpoint.nativeOutput || !isStrict(output)) return 'words'
  switch (endpoint.api) {
    case 'anthropic':
      return tooOld.test(model) ? 'words' : 'strict'
    case 'openai-responses':
      return 'strict'
    case 'openai':
    case 'openai-compatible':
      return 'words'
  }
}

/** Claude models before structured outputs. */
const tooOld = /claude-(instant|[23]|(opus|sonnet)-4(-0|-2025\d*|$))/

/** What both vendors' constrained answers take: the narrower of each bound. */
const depthMax = 10
const propertiesMax = 100
const bytesMax = 16_384
const keywords: ReadonlySet<string> = new Set([
  '$schema',
  '$id',
  'title',
  'description',
  'type',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'enum',
  'const',
  'anyOf',
])
const types: ReadonlySet<unknown> = new Set(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'])

/**
 * Does a schema say all of itself in what constrained answers understand? Every object closed and every member required, no keyword
 * that would be ignored or refused, no references, bounded in depth and size, so that a hostile schema costs nothing to judge.
 */
export function isStrict(schema: object): boolean {
  let properties = 0
  const fits = (node: unknown, depth: number): boolean => {
    if (depth > depthMax || !isObject(node) || Object.keys(node).some((key) => !keywords.has(key))) return false
    const { anyOf, enum: values, const: value, type } = node
    if (anyOf !== undefined) {
      return depth > 0 && Array.isArray(anyOf) && anyOf.length <= 20 && anyOf.every((one) => fits(one, depth + 1))
    }
    if (type === undefined) return values !== undefined || value !== undefined
    const named: readonly unknown[] = Array.isArray(type) ? type : [type]
    if (!named.every((one) => types.has(one))) return false
    if (named.includes('array') && !fits(node['items'], depth + 1)) return false
    return !named.includes('object') || closed(node, depth)
  }
  const closed = (node: Readonly<Record<string, unknown>>, depth: number): boolean => {
    const { properties: members, required, additionalProperties } = node
    if (!isObject(members) || additionalProperties !== false || !Array.isArray(required)) return false
    const names = Object.keys(members)
    properties += names.length
    if (properties > propertiesMax) return false
    return names.every((name) => required.includes(name) && fits(members[name], depth + 1))
  }
  return isObject(schema) && schema['type'] === 'object' && sizeOf(schema) <= bytesMax && fits(schema, 0)
}

/** A schema that refers to itself has no end in JSON. */
function sizeOf(schema: object): number {
  try {
    return JSON.stringify(schema).length
  } catch {
    return Number.POSITIVE_INFINITY // it then counts as too large
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
