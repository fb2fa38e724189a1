import type { z } from 'zod'
import { nearest } from './nearest.ts'
import type { CodexProblem } from './snapshot.ts'
import type { YamlFile } from './yaml-file.ts'

/** What zod found, as lines a person can act on: where, what, and the name they probably meant. */
export function explain(yaml: YamlFile, schema: z.ZodType, error: z.ZodError): readonly CodexProblem[] {
  return error.issues.flatMap((issue) => problemsOf(yaml, schema, issue))
}

function problemsOf(yaml: YamlFile, schema: z.ZodType, issue: z.core.$ZodIssue): readonly CodexProblem[] {
  if (issue.code === 'unrecognized_keys') {
    const allowed = keysAt(schema, issue.path)
    return issue.keys.map((key) => {
      const meant = nearest(key, allowed)
      const hint = meant
        ? `; did you mean “${meant}”?`
        : allowed.length > 0
          ? `; known here: ${allowed.join(', ')}`
          : ''
      return problem(yaml, issue.path, `unknown field “${key}”${hint}`, key)
    })
  }
  if (issue.code === 'invalid_union') {
    // The branch that came nearest says most: it has the fewest complaints.
    const [best] = [...issue.errors].sort((a, b) => a.length - b.length)
    if (best && best.length > 0) {
      return best.flatMap((inner) => problemsOf(yaml, schema, { ...inner, path: [...issue.path, ...inner.path] }))
    }
  }
  const field = issue.path.length > 0 ? `${fieldOf(issue.path)}: ` : ''
  return [problem(yaml, issue.path, `${field}${wordsOf(issue, valueAt(yaml.value, issue.path))}`)]
}

function wordsOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (value === undefined && issue.code === 'invalid_type') return `is missing (${issue.expected})`
  if (value === undefined && issue.code === 'invalid_value') return `is missing (${issue.values.join(' or ')})`
  const plain = issue.message.replace(/^Invalid input: /, '')
  if (issue.code === 'invalid_value' && typeof value === 'string') {
    const meant = nearest(value, issue.values.map(String))
    return `“${value}” is not one of ${issue.values.join(', ')}${meant ? `; did you mean “${meant}”?` : ''}`
  }
  if (issue.code === 'invalid_format' && !plain.startsWith('Invalid')) return `must be ${plain}, not ${shown(value)}`
  return plain.charAt(0).toLowerCase() + plain.slice(1)
}

function problem(yaml: YamlFile, path: readonly PropertyKey[], message: string, key?: string): CodexProblem {
  return { severity: 'error', file: yaml.file, line: yaml.lineOf(path, key), message }
}

function fieldOf(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '')
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null && Object.hasOwn(inner, key)
        ? (inner as Readonly<Record<PropertyKey, unknown>>)[key]
        : undefined,
    value,
  )
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? `“${value}”` : (JSON.stringify(value) ?? 'nothing')
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

type Definition = z.core.$ZodTypes['_zod']['def']

/** The names a strict object allows at a path; of a union, those of all its branches. */
function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  const definition: Definition = (schema as z.core.$ZodTypes)._zod.def // every schema zod makes is one of $ZodTypes
  const [step, ...rest] = path
  switch (definition.type) {
    case 'default':
    case 'optional':
    case 'nullable':
      return keysAt(definition.innerType, path)
    case 'union':
      return [...new Set(definition.options.flatMap((option) => keysAt(option, path)))]
    case 'array':
      return step === undefined ? [] : keysAt(definition.element, rest)
    case 'record':
      return step === undefined ? [] : keysAt(definition.valueType, rest)
    case 'object': {
      if (step === undefined) return Object.keys(definition.shape)
      const member = definition.shape[String(step)]
      return member ? keysAt(member, rest) : []
    }
    default:
      return []
  }
}
