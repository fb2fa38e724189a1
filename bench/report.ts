import { mkdir, readFile, writeFile } from 'node:fs/promises'
import pc from 'picocolors'
import { format, resolveConfig } from 'prettier'
import type { BenchCase, Floor, Outcome, Table } from './case.ts'
import type { Machine } from './machine.ts'
import { rounded } from './rounds.ts'

/** One run of one case: `bench/results/{case}.json`. */
export interface Record extends Outcome {
  readonly case: string
  readonly title: string
  readonly at: string
  readonly commit: string
  readonly quick: boolean
  readonly repetitions: number
  readonly loadBefore: number
  readonly seconds: number
  readonly machine: Machine
  readonly durability: readonly string[]
}

const results = new URL('./results/', import.meta.url)
const page = new URL('../docs/benchmarks.md', import.meta.url)

export function met(floor: Floor): boolean {
  if (floor.figure === null || Number.isNaN(floor.figure)) return false
  return 'min' in floor ? floor.figure >= floor.min : floor.figure <= floor.max
}

export function forPeople({ title, tables, floors, loadBefore, repetitions, quick }: Record): string {
  const head = `${pc.bold(title)}  ${pc.dim(`median of ${repetitions}${quick ? ', quick' : ''}, load before ${loadBefore}`)}`
  return ['', head, ...tables.map(textTable), ...floors.map((floor) => `  ${verdict(floor)}`), ''].join('\n')
}

/** In red what was missed. */
function verdict(floor: Floor): string {
  const text = `${floor.what}: ${figureOf(floor)}, ${limitOf(floor)}${floor.why ? ` (${floor.why})` : ''}`
  if (floor.figure === null) return pc.yellow(`– ${text}`)
  return met(floor) ? pc.green(`✓ ${text}`) : pc.red(`✗ ${text}`)
}

function figureOf({ figure, unit }: Floor): string {
  return figure === null ? 'not measured' : `${rounded(figure)}${unit && ` ${unit}`}`
}

function limitOf(floor: Floor): string {
  return 'min' in floor ? `at least ${floor.min}` : `at most ${floor.max}`
}

function textTable({ title, columns, rows }: Table): string {
  const cells = [columns, ...rows.map((row) => row.map(cell))]
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => (row[index] ?? '').length)))
  const lines = cells.map((row) =>
    row
      .map((text, index) => (index === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[index] ?? 0)))
      .join('  '),
  )
  return [`  ${pc.underline(title)}`, ...lines.map((line) => `  ${line}`), ''].join('\n')
}

/** Keeps the record and renews the part of docs/benchmarks.md between the case's markers; a new case gets a part at the end. */
export async function keep(one: BenchCase, record: Record): Promise<void> {
  await mkdir(results, { recursive: true })
  await write(new URL(`${record.case}.json`, results), JSON.stringify(record), 'json')
  const marks = { from: `<!-- bench:${record.case} -->`, to: `<!-- /bench:${record.case} -->` }
  const text = await readFile(page, 'utf8')
  const [before, after] = [text.indexOf(marks.from), text.indexOf(marks.to)]
  const part = `${marks.from}\n\n${markdown(one, record)}\n\n${marks.to}`
  const next =
    before === -1 || after === -1
      ? `${text.trimEnd()}\n\n${part}\n`
      : `${text.slice(0, before)}${part}${text.slice(after + marks.to.length)}`
  await write(page, next, 'markdown')
}

function markdown(one: BenchCase, record: Record): string {
  const { machine } = record
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  const floors: Table = {
    title: 'Floors',
    columns: ['floor', 'figure', 'must be', ''],
    rows: record.floors.map((floor) => [
      floor.what,
      figureOf(floor),
      limitOf(floor),
      floor.figure === null ? (floor.why ?? '') : met(floor) ? 'met' : `**missed** ${floor.why ?? ''}`.trim(),
    ]),
  }
  const about = [
    `Measured ${record.at.slice(0, 10)} at ${record.commit}, median of ${record.repetitions}`,
    `${machine.cores} cores of ${machine.cpu}, ${machine.memoryGb} GB, ${machine.system}`,
    `load average before ${record.loadBefore}`,
    versions.join(', '),
    ...record.durability,
  ]
  return [
    `## ${record.title}`,
    one.method.trim(),
    `${about.join('; ')}.`,
    ...[...record.tables, ...(record.floors.length > 0 ? [floors] : [])].map(markdownTable),
  ].join('\n\n')
}

function markdownTable({ title, columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
  const rule = columns.map((_, index) => (index === 0 ? '---' : '---:'))
  return [`**${title}**`, '', line(columns), line(rule), ...rows.map((row) => line(row.map(cell)))].join('\n')
}

function cell(value: string | number | null): string {
  if (value === null || Number.isNaN(value)) return '–'
  return typeof value === 'string' ? value : thousands(rounded(value))
}

function thousands(figure: number): string {
  return Math.abs(figure) >= 10_000 ? figure.toLocaleString('en-US').replaceAll(',', ' ') : String(figure)
}

/** As the formatter would leave it: the next check of the format must not fail because somebody measured. */
async function write(file: URL, text: string, parser: 'json' | 'markdown'): Promise<void> {
  await writeFile(file, await format(text, { ...(await resolveConfig(file)), parser }))
}
