import { GuildError } from '../kernel/errors.ts'
import { filterNames } from './template-filters.ts'

export const templateLengthMax = 20_000
const nestingMax = 3

type Literal = string | number
export interface Expression {
  readonly path: readonly string[]
  readonly filters: readonly { readonly name: string; readonly args: readonly Literal[] }[]
}
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly expression: Expression }
  | { readonly kind: 'each'; readonly list: Expression; readonly as: string; readonly body: readonly Node[] }
  | {
      readonly kind: 'if'
      readonly test: Expression
      readonly body: readonly Node[]
      readonly otherwise: readonly Node[]
    }

/** @throws GUILD_TEMPLATE_INVALID with `why` */
export function parseTemplate(text: string): readonly Node[] {
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

/**
 * The first thing wrong with the templates in a value, with the path to it; null: all are fine.
 * `roots` are the names that a path may begin with.
 */
export function templateProblem(
  value: unknown,
  roots: readonly string[],
): { readonly path: readonly string[]; readonly why: string } | null {
  if (typeof value === 'string') {
    try {
      const stray = strayName(parseTemplate(value), roots)
      return stray === null ? null : { path: [], why: `there is no “${stray}”; there are ${roots.join(', ')}` }
    } catch (error) {
      if (error instanceof GuildError) return { path: [], why: String(error.details['why']) }
      throw error
    }
  }
  if (typeof value !== 'object' || value === null) return null
  for (const [key, member] of Object.entries(value)) {
    const problem = templateProblem(member, roots)
    if (problem) return { path: [key, ...problem.path], why: problem.why }
  }
  return null
}

/** The first path that begins with a name that is neither a root nor a loop's. */
function strayName(nodes: readonly Node[], known: readonly string[]): string | null {
  for (const node of nodes) {
    if (node.kind === 'text') continue
    const { path } = node.kind === 'value' ? node.expression : node.kind === 'each' ? node.list : node.test
    const [name = ''] = path
    if (!known.includes(name)) return name
    const stray =
      node.kind === 'each'
        ? strayName(node.body, [...known, node.as])
        : node.kind === 'if'
          ? (strayName(node.body, known) ?? strayName(node.otherwise, known))
          : null
    if (stray !== null) return stray
  }
  return null
}

const tag = /\{\{(#each |#if |else|\/each|\/if|)\s*([^{}]*?)\s*\}\}/gy

interface Frame {
  readonly kind: 'root' | 'each' | 'if'
  readonly nodes: Node[]
  readonly head: Expression | null
  readonly as: string
  otherwise: Node[] | null
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
        : { kind: 'if', test: top.head, body: top.nodes, otherwise: top.otherwise ?? [] }
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
