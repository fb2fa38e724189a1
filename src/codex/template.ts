import { GuildError } from '../kernel/errors.ts'
import type { JsonValue } from '../kernel/json.ts'
import { applyFilter, filterNames, textOf } from './template-filters.ts'

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

export const templateLengthMax = 20_000
export const renderedLengthMax = 60_000
export const loopItemsMax = 50
const nestingMax = 3

type Facts = Readonly<Record<string, unknown>>
type Literal = string | number
interface Expression {
  readonly path: readonly string[]
  readonly filters: readonly { readonly name: string; readonly args: readonly Literal[] }[]
}
type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly expression: Expression }
  | { readonly kind: 'each'; readonly list: Expression; readonly as: string; readonly body: readonly Node[] }
  | {
      readonly kind: 'if'
      readonly test: Expression
      readonly then: readonly Node[]
      readonly otherwise: readonly Node[]
    }

interface Sink {
  length: number
  readonly missing: Set<string>
}

/** Renders every string in a JSON value; keys stay as they are. @throws GUILD_TEMPLATE_INVALID (the Codex checks them at load) */
export function renderTemplate(value: unknown, facts: Facts): Rendered {
  const sink: Sink = { length: 0, missing: new Set() }
  return { value: deep(value, facts, sink), missing: [...sink.missing] }
}

/** The first thing wrong with the templates in a value, with the path to it; null: all are fine. */
export function templateProblem(value: unknown): { readonly path: readonly string[]; readonly why: string } | null {
  if (typeof value === 'string') {
    try {
      parseTemplate(value)
      return null
    } catch (error) {
      if (error instanceof GuildError) return { path: [], why: String(error.details['why']) }
      throw error
    }
  }
  if (typeof value !== 'object' || value === null) return null
  for (const [key, member] of Object.entries(value)) {
    const problem = templateProblem(member)
    if (problem) return { path: [key, ...problem.path], why: problem.why }
  }
  return null
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
        write(present(resolve(node.test, facts, null)) ? node.then : node.otherwise, facts, sink, parts)
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

const tag = /\{\{(#each |#if |else|\/each|\/if|)\s*([^{}]*?)\s*\}\}/gy

interface Frame {
  readonly kind: 'root' | 'each' | 'if'
  readonly nodes: Node[]
  readonly head: Expression | null
  readonly as: string
  otherwise: Node[] | null
}

/** @throws GUILD_TEMPLATE_INVALID with `why` */
function parseTemplate(text: string): readonly Node[] {
  if (text.length > templateLengthMax) throw invalid(`it is longer than ${templateLengthMax} characters`)
  const root: Frame = { kind: 'root', nodes: [], head: null, as: '', otherwise: null }
  const stack: Frame[] = [root]
  let at = 0
  while (at < text.length) {
    const open = text.indexOf('{{', at)
    const top = stack.at(-1) ?? root
    const into = top.otherwise ?? top.nodes
    if (open !== at) into.push({ kind: 'text', text: text.slice(at, open === -1 ? text.length : open) })
    if (open === -1) break
    tag.lastIndex = open
    const found = tag.exec(text)
    if (!found) throw invalid(`the placeholder at ${text.slice(open, open + 30)} is not closed or not known`)
    step(stack, into, found[1] ?? '', found[2] ?? '')
    at = tag.lastIndex
  }
  const left = stack.at(-1)
  if (left && left.kind !== 'root') throw invalid(`{{#${left.kind}}} is never closed`)
  return root.nodes
}

function step(stack: Frame[], into: Node[], word: string, rest: string): void {
  const top = stack.at(-1)
  if (word === '') {
    into.push({ kind: 'value', expression: parseExpression(rest) })
  } else if (word === 'else') {
    if (top?.kind !== 'if' || top.otherwise || rest) throw invalid('{{else}} stands outside {{#if}}')
    top.otherwise = []
  } else if (word.startsWith('#')) {
    if (stack.length > nestingMax) throw invalid(`blocks are nested deeper than ${nestingMax}`)
    const each = word === '#each '
    const [, list = '', as = ''] = (each ? /^(.*?)\s+as\s+([a-z]\w*)$/i.exec(rest) : [rest, rest]) ?? []
    if (!list) throw invalid(`write {{#each path as name}}, not {{#each ${rest}}}`)
    stack.push({ kind: each ? 'each' : 'if', nodes: [], head: parseExpression(list), as, otherwise: null })
  } else {
    if (!top?.head || `/${top.kind}` !== word || rest) throw invalid(`{{${word}}} closes nothing`)
    stack.pop()
    const parent = stack.at(-1)
    const node: Node =
      top.kind === 'each'
        ? { kind: 'each', list: top.head, as: top.as, body: top.nodes }
        : { kind: 'if', test: top.head, then: top.nodes, otherwise: top.otherwise ?? [] }
    ;(parent?.otherwise ?? parent?.nodes)?.push(node)
  }
}

const pathPattern = /^[A-Za-z_]\w*(?:\.[\w-]+)*$/
const partPattern = /\s*((?:'[^']*'|[^'|])+)(?:\||$)/gy
const argumentPattern = /\s*(?:'([^']*)'|(-?\d{1,6}))\s*(?:,|$)/gy

function parseExpression(text: string): Expression {
  const [path = '', ...filters] = all(partPattern, text, () => invalid(`{{${text}}} cannot be read`)).map((found) =>
    (found[1] ?? '').trim(),
  )
  if (!pathPattern.test(path)) throw invalid(`{{${text}}} does not begin with a path such as payload.number`)
  return { path: path.split('.'), filters: filters.map(parseFilter) }
}

function parseFilter(text: string): Expression['filters'][number] {
  const [, name = '', rest = ''] = /^(\w+)(?:\s*:\s*(.+))?$/.exec(text) ?? []
  if (!filterNames.includes(name)) throw invalid(`there is no filter “${text}”; there are ${filterNames.join(', ')}`)
  const found = all(argumentPattern, rest, () => invalid(`the arguments of the filter “${text}” cannot be read`))
  return { name, args: found.map(([, quoted, digits]) => quoted ?? Number(digits)) }
}

/** All matches of a sticky pattern, which must cover the text. */
function all(pattern: RegExp, text: string, fail: () => GuildError): readonly RegExpExecArray[] {
  const found: RegExpExecArray[] = []
  let at = 0
  while (at < text.length) {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (!match || pattern.lastIndex === at) throw fail()
    found.push(match)
    at = pattern.lastIndex
  }
  return found
}

function invalid(why: string): GuildError {
  return new GuildError('GUILD_TEMPLATE_INVALID', { why })
}
