import pc from 'picocolors'
import stringWidth from 'string-width'

/** How a column of a table reads one row. */
export interface Column<Row> {
  readonly head: string
  readonly cell: (row: Row) => string
  readonly align?: 'right'
  /** The column that gives way when the terminal is narrow. */
  readonly flexible?: boolean
}

// In a pipe `isTTY` is undefined, whatever its type says; and undefined would let the library decide, which colours on build servers.
const terminal = process.stdout.isTTY ? !process.env['NO_COLOR'] : false

/** Colours only on terminals, never with NO_COLOR or in a pipe. */
export const paint = pc.createColors(terminal)

/** Aligned columns without frames: readable, and it survives copy and paste. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width = terminalWidth()): string {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.cell(row))))
  const widths = columns.map((column, at) =>
    Math.max(stringWidth(column.head), ...cells.map((line) => stringWidth(line[at] ?? ''))),
  )
  const flexible = columns.findIndex((column) => column.flexible)
  const total = widths.reduce((sum, one) => sum + one + 2, -2)
  if (flexible >= 0 && total > width) widths[flexible] = Math.max(12, (widths[flexible] ?? 0) - (total - width))
  const line = (texts: readonly string[]) =>
    texts
      .map((text, at) => pad(cut(text, widths[at] ?? 0), widths[at] ?? 0, columns[at]?.align === 'right'))
      .join('  ')
      .trimEnd()
  return [paint.dim(line(columns.map((column) => column.head))), ...cells.map(line)].join('\n')
}

/** `key  value` lines. */
export function facts(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([key]) => stringWidth(key)))
  return pairs.map(([key, value]) => `${paint.dim(pad(key, width, false))}  ${value}`).join('\n')
}

/** `14:03:07` today, `21 Nov 14:03` before; in the reader's zone. */
export function when(value: string | Date | null | undefined, now = new Date()): string {
  if (!value) return '–'
  const date = new Date(value)
  const today = date.toDateString() === now.toDateString()
  return today
    ? date.toLocaleTimeString('en-GB')
    : date
        .toLocaleString('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })
        .replace(',', '')
}

export function ms(value: number): string {
  if (value < 1_000) return `${Math.round(value)} ms`
  if (value < 90_000) return `${(value / 1_000).toFixed(1)} s`
  return `${Math.round(value / 60_000)} min`
}

export function money(micros: number): string {
  return micros === 0 ? '$0' : `$${(micros / 1_000_000).toFixed(micros < 10_000 ? 4 : 2)}`
}

/** The colour says how it went: green done, yellow waits for someone, red failed, dim nothing to do. */
export function state(value: string): string {
  if (/^(SUCCEEDED|COMPLETED|ROUTED|ACTIVE|SUCCESS|VALID|APPROVED|ok)$/.test(value)) return paint.green(value)
  if (/^(FAILED|DEAD|DEGRADED|FAILURE|INVALID|PARKED)$/.test(value)) return paint.red(value)
  if (/^(PROPOSED|HELD|WAITING|AMBIGUOUS|PROBING|RETRY|STOPPED|PENDING|LOOP_STOPPED|OVER_BUDGET)/.test(value))
    return paint.yellow(value)
  if (/^(SHADOWED|QUEUED|RUNNING|READY|EXECUTING|ADMITTED|APPROVED)$/.test(value)) return paint.cyan(value)
  return paint.dim(value)
}

export function short(id: string, length = 12): string {
  return id.length > length ? `${id.slice(0, length)}…` : id
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

// All but line ends, tabs and the colours of `paint`: an escape sequence in a title could hide or forge what a person decides on.
const unprintable =
  // oxlint-disable-next-line no-control-regex -- these are what it is about
  /(?!\u001b\[(?:1|2|22|31|32|33|36|39)m)[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** Text for a terminal: control characters and direction changes, which come from outside, are shown instead of obeyed. */
export function printable(text: string): string {
  return text.replaceAll(unprintable, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

export function terminalWidth(): number {
  return process.stdout.columns ?? 120
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim()
}

function pad(text: string, width: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, width - stringWidth(text)))
  return right ? space + text : text + space
}

/** Cuts by visible width; a coloured cell is cut only when it is too long, and then loses its colour. */
function cut(text: string, width: number): string {
  if (stringWidth(text) <= width) return text
  // oxlint-disable-next-line no-control-regex -- escape sequences begin with a control character
  const plain = text.replaceAll(/\u001b\[[0-9;]*m/g, '')
  let out = ''
  for (const { segment } of new Intl.Segmenter().segment(plain)) {
    if (stringWidth(out + segment) > width - 1) break
    out += segment
  }
  return `${out}…`
}
