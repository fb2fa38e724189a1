import type { JsonValue } from '../kernel/json.ts'
import { applyFilter, textOf } from './template-filters.ts'
import { parseTemplate, type Expression, type Node } from './template-parser.ts'

/**
 * Templates are data, never code: a path (own properties only), a few filters, a loop and a condition on presence.
 *
 * - `{{event.payload.number}}` alone in a string keeps the type; inside text it becomes text
 * - `{{payload.body | default: 'nothing' | truncate: 200}}`
 * - `{{#each context.files as f}}- {{f.filename}}\n{{/each}}`: at most 50 items, then a line that counts the rest
 * - `{{#if payload.draft}}…{{else}}…{{/if}}`: false, null, 0, '' and [] count as absent
 */
export interface Rendered {
  readonly value: JsonValue
  /** paths that led to nothing and were rendered as '' */
  readonly missing: readonly string[]
}

export const renderedLengthMax = 60_000
export const loopItemsMax = 50

type Facts = Readonly<Record<string, unknown>>

interface Sink {
  length: number
  readonly missing: Set<string>
}

/** Renders every string in a JSON value; keys stay as they are. @throws GUILD_TEMPLATE_INVALID (the Codex checks them at load) */
export function renderTemplate(value: unknown, facts: Facts): Rendered {
  const sink: Sink = { length: 0, missing: new Set() }
  return { value: deep(value, facts, sink), missing: [...sink.missing] }
}

function deep(value: unknown, facts: Facts, sink: Sink): JsonValue {
  if (typeof value === 'string') return renderString(value, facts, sink)
  if (Array.isArray(value)) return value.map((item) => deep(item, facts, sink))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, deep(member, facts, sink)]))
  }
  if (value === null || typeof value === 'boolean') return value
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function renderString(text: string, facts: Facts, sink: Sink): JsonValue {
  if (!text.includes('{{')) return text
  const nodes = parseTemplate(text)
  const [only] = nodes
  if (nodes.length === 1 && only?.kind === 'value') return asJson(resolve(only.expression, facts, sink) ?? '')
  const parts: string[] = []
  write(nodes, facts, sink, parts)
  return parts.join('')
}

function write(nodes: readonly Node[], facts: Facts, sink: Sink, parts: string[]): void {
  for (const node of nodes) {
    if (sink.length >= renderedLengthMax) return
    switch (node.kind) {
      case 'text':
        put(node.text, sink, parts)
        break
      case 'value':
        put(textOf(resolve(node.expression, facts, sink)), sink, parts)
        break
      case 'if':
        write(present(resolve(node.test, facts, null)) ? node.body : node.otherwise, facts, sink, parts)
        break
      case 'each': {
        const list = resolve(node.list, facts, sink)
        if (!Array.isArray(list)) break
        for (const item of list.slice(0, loopItemsMax)) write(node.body, { ...facts, [node.as]: item }, sink, parts)
        if (list.length > loopItemsMax) put(`… and ${list.length - loopItemsMax} more\n`, sink, parts)
        break
      }
    }
  }
}

function put(text: string, sink: Sink, parts: string[]): void {
  const room = renderedLengthMax - sink.length
  const kept = text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1)).toWellFormed()}…`
  sink.length += kept.length
  parts.push(kept)
}

/** `sink` null: absence is expected (a test), not reported. */
function resolve(expression: Expression, facts: Facts, sink: Sink | null): unknown {
  let value: unknown = facts
  for (const key of expression.path) {
    // Own properties only: `constructor`, `__proto__` and the methods of strings and arrays lead to nothing.
    const open = typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    value = open && key !== 'length' ? (value as Facts)[key] : undefined
    if (value === undefined) break
  }
  const optional = expression.filters.some(({ name }) => name === 'default')
  if (value === undefined && !optional) sink?.missing.add(expression.path.join('.'))
  return expression.filters.reduce((result, { name, args }) => applyFilter(name, result, args), value)
}

function present(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value)
}

function asJson(value: unknown): JsonValue {
  return typeof value === 'function' || typeof value === 'bigint' ? '' : (value as JsonValue) // facts are JSON already
}
