// The crash and fault harness: `npm run chaos`; docs/chaos.md says what it does and what came of it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { reasonOf } from '../../src/kernel/errors.ts'
import { type Options, readOptions, usage } from './options.ts'
import { section, writeDocs } from './report.ts'
import type { Result } from './judge.ts'
import { runConfiguration } from './run.ts'

const page = fileURLToPath(new URL('../../docs/chaos.md', import.meta.url))

class Interrupted extends Error {
  readonly code: number

  constructor(code: number) {
    super('interrupted')
    this.code = code
  }
}

/** Ctrl-C takes everything down that was started; a second one ends at once. */
const interrupted = new AbortController()
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    if (interrupted.signal.aborted) process.exit(code)
    say('\ninterrupted: taking down what was started\n')
    interrupted.abort(new Interrupted(code))
  })
}
try {
  const code = await main(process.argv.slice(2))
  // Not left to the end of the event loop: Node 24 was seen to turn for ever in its clean-up of handles after an hour's worth of children.
  process.stdout.write('', () => process.exit(code))
} catch (error) {
  if (!(error instanceof Interrupted)) throw error
  process.exit(error.code)
}

async function main(args: readonly string[]): Promise<number> {
  let options: Options | 'help'
  try {
    options = readOptions(args)
  } catch (error) {
    process.stderr.write(`${reasonOf(error)}\n\n${usage}`)
    return 2
  }
  if (options === 'help') {
    process.stdout.write(usage)
    return 0
  }
  const results: Result[] = []
  for (const config of options.configs) {
    say(`${config}: ${options.deliveries} deliveries, ${options.faults} faults, --seed ${options.seed}\n`)
    const result = await runConfiguration(config, options, progressLine(), interrupted.signal)
    clearLine()
    if (!options.json) process.stdout.write(`\n${section(result)}\n`)
    for (const [kind, why] of Object.entries(result.skipped)) say(`skipped: ${kind} (${why})\n`)
    if (options.keep) say(`kept: ${result.folder}\n`)
    results.push(result)
  }
  const file = join(tmpdir(), `guild-chaos-${options.seed}.json`)
  const text = `${JSON.stringify({ seed: options.seed, results }, null, 2)}\n`
  writeFileSync(file, text)
  if (options.json) process.stdout.write(text)
  else say(`\nresult as JSON: ${file}\n`)
  if (options.docs) writeDocs(page, results)
  return results.every(({ failures }) => failures.length === 0) ? 0 : 1
}

function progressLine(): (line: string) => void {
  if (!process.stderr.isTTY) return () => undefined
  return (line) => process.stderr.write(`\r\u001B[2K${line.slice(0, process.stderr.columns - 1)}`)
}

function clearLine(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001B[2K')
}

function say(text: string): void {
  process.stderr.write(text)
}
