import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import type { Spread } from './measure.ts'
import type { Result } from './judge.ts'

const begin = '<!-- chaos: begin -->'
const end = '<!-- chaos: end -->'

/** One configuration as a person reads it; the same text stands in docs/chaos.md. */
export function section(result: Result): string {
  const { accepted, attempts, lost, duplicated, late, resumes, books, checks, failures } = result
  const audited = Object.entries(books.audited).map(([type, { rows }]) => `${rows} ${type}`)
  const facts: readonly (readonly [string, string])[] = [
    ['deliveries', `${result.deliveries}, accepted ${accepted} in ${attempts} attempts`],
    ['lost', String(lost.length)],
    ['duplicated', String(duplicated.length)],
    ['late (> 60 s)', `${late.count}; the latest after ${seconds(late.maxMs)}${whyOf(late.why)}`],
    [
      'interrupted runs',
      `${resumes.count}; resumed after p50 ${seconds(resumes.ms.p50)}, max ${seconds(resumes.ms.max)}${resumes.unknown > 0 ? `; ${resumes.unknown} under a moved clock, not timed` : ''}`,
    ],
    ['actions looked up', String(books.probed)],
    ['events, runs, actions', `${books.events}, ${counts(books.runs)}, ${counts(books.actions)}`],
    ['audit rows', audited.join(', ')],
    [
      'checks',
      Object.entries(checks)
        .map(([name, { code }]) => `\`${name}\` ${code === 0 ? 'ok' : 'FAILED'}`)
        .join(', '),
    ],
    ['time', `${Math.round(result.seconds)} s, ${result.perSecond.toFixed(1)} effects/s; seed ${result.seed}`],
  ]
  const rows = result.figures
    .toSorted((a, b) => b.count - a.count)
    .map(({ kind, count, silenceMs, caughtUpMs }) => [kind, String(count), ...both(silenceMs), ...both(caughtUpMs)])
  const skipped = Object.entries(result.skipped).map(([kind, why]) => [kind, `0: ${why}`, '', '', '', ''])
  return [
    `### ${result.config}: ${failures.length === 0 ? 'nothing lost, nothing repeated' : 'FAILED'}`,
    table(['', ''], facts),
    table(['fault', 'count', 'silence p50', 'max', 'caught up p50', 'max'], [...rows, ...skipped]),
    ...(failures.length > 0 ? [failures.map((failure) => `- ${failure}`).join('\n')] : []),
  ].join('\n\n')
}

/** Puts the sections between the markers of the page. @throws when it has none */
export function writeDocs(path: string, results: readonly Result[]): void {
  const page = readFileSync(path, 'utf8')
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from) throw new Error(`${path} has no ${begin} … ${end}`)
  const day = new Date().toISOString().slice(0, 10)
  const machine = `Measured ${day} on ${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.versions.node}.`
  const text = [begin, machine, ...results.map(section), end].join('\n\n')
  writeFileSync(path, page.slice(0, from) + text + page.slice(to + end.length))
}

/** A Markdown table whose columns line up, as the formatter of this repository writes it. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

function both({ p50, max }: Spread): readonly string[] {
  return [seconds(p50), seconds(max)]
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}

function counts(tally: Readonly<Record<string, number>>): string {
  return Object.entries(tally)
    .map(([state, count]) => `${count} ${state}`)
    .join(' + ')
}

function whyOf(why: Readonly<Record<string, number>>): string {
  const causes = Object.entries(why).map(([cause, count]) => `${count} ${cause}`)
  return causes.length === 0 ? '' : ` (${causes.join(', ')})`
}
