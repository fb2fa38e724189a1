import { globMatches } from './glob.ts'

type Args = readonly (string | number)[]
type Filter = (value: unknown, args: Args) => unknown

/** What may follow a path in a template. Pure, total: a value of the wrong kind passes through or becomes ''. */
const filters: Readonly<Record<string, Filter>> = {
  /** `default: 'x'` for what is missing, null or '' */
  default: (value, [fallback]) => (value === undefined || value === null || value === '' ? (fallback ?? '') : value),
  json: (value) => JSON.stringify(value ?? null, null, 2),
  /** `truncate: 200` characters, the last being an ellipsis */
  truncate: (value, [length]) => cut(textOf(value), Number(length ?? 200)),
  count: (value) => (Array.isArray(value) ? value.length : textOf(value).length),
  join: (value, [separator]) =>
    Array.isArray(value) ? value.map(textOf).join(String(separator ?? ', ')) : textOf(value),
  first: (value, [count]) => (Array.isArray(value) ? value.slice(0, Number(count ?? 1)) : value),
  /** `pluck: 'filename'`: one member of each item */
  pluck: (value, [key]) => (Array.isArray(value) ? value.map((item) => member(item, key)) : value),
  /** `matching: 'filename', '*.sql', 'db/**'`: items of which that member matches a glob; '' as member: the items themselves */
  matching: (value, [key, ...globs]) =>
    Array.isArray(value)
      ? value.filter((item) => globs.some((glob) => globMatches(textOf(member(item, key)), String(glob))))
      : value,
  sum: (value) => (Array.isArray(value) ? value.reduce((sum: number, item) => sum + (Number(item) || 0), 0) : value),
  /** `over: 400`: the number, if it is greater; else nothing, so that `#if` can ask */
  over: (value, [limit]) => (Number(value) > Number(limit ?? 0) ? value : ''),
  /** `short: 7`: the first characters, as of a commit id */
  short: (value, [length]) => textOf(value).slice(0, Number(length ?? 7)),
  /** `line: 1`: the n-th line */
  line: (value, [number]) => (textOf(value).split('\n')[Number(number ?? 1) - 1] ?? '').trim(),
  /** Words of others inside our Markdown: one line, no mention that would notify somebody, no HTML, no code fence. */
  inert: (value) => inert(textOf(value)),
}

export const filterNames: readonly string[] = Object.keys(filters)

export function applyFilter(name: string, value: unknown, args: Args): unknown {
  return filters[name]?.(value, args)
}

export function textOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return JSON.stringify(value) ?? ''
}

function member(item: unknown, key: string | number | undefined): unknown {
  if (key === undefined || key === '') return item
  const name = String(key)
  const open = typeof item === 'object' && item !== null && Object.hasOwn(item, name)
  return open ? (item as Readonly<Record<string, unknown>>)[name] : undefined
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, Math.max(0, length - 1)).toWellFormed()}…`
}

function inert(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[<>]/g, (sign) => (sign === '<' ? '&lt;' : '&gt;'))
    .replaceAll('`', 'ˋ')
    .replaceAll(/@(?=\w)/g, '@\u200b')
    .trim()
}
