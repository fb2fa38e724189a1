// Every benchmark of the product, with its floor and its peers in the same run: `npm run bench -- --help`.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pc from 'picocolors'
import type { BenchCase } from './case.ts'
import { commit, load, machine } from './machine.ts'
import { openLab } from './open-lab.ts'
import { forPeople, keep, met, type Record } from './report.ts'

/** Name → module; loaded when asked for, so that one that cannot be loaded stops nobody else. */
const cases: Readonly<{ [name: string]: { readonly about: string; readonly load: () => Promise<BenchCase> } }> = {
  b1: {
    about: 'signed deliveries over HTTP, against a bare Fastify with the same append',
    load: async () => (await import('./ingest.ts')).ingest,
  },
  b2: {
    about: 'from an inbound event to READY on the topic of its agent',
    load: async () => (await import('./dispatch.ts')).dispatch,
  },
  b3: {
    about: 'the whole line: event, run, confirmed action, audit row',
    load: async () => (await import('./whole-line.ts')).wholeLine,
  },
  b4: {
    about: 'one hop of the bus, against BullMQ, pg-boss, graphile-worker and loops written by hand',
    load: async () => (await import('./bus-hop.ts')).busHop,
  },
  b5: {
    about: 'a hop of the bus with 1 000 000 messages waiting',
    load: async () => (await import('./backlog.ts')).backlog,
  },
  b6: {
    about: 'an idle guild with 1 000 schedules and 100 agents',
    load: async () => (await import('./idle.ts')).idle,
  },
  b7: {
    about: 'kill -9 in the middle of work, until the first and the last interrupted run continues',
    load: async () => (await import('./recovery.ts')).recovery,
  },
}

const help = `Measures the product beside its floor and its peers, on servers of its own with the durability of production.

  npm run bench                      everything: some 25 minutes; keep the machine quiet
  npm run bench -- b1 b4             only these
  npm run bench -- --quick           shorter samples, two repetitions: to see that it works, not to quote
  npm run bench -- b4 --repeat 9     repetitions of each contender (default 5)
  npm run bench -- --check           exit code 1 when a floor is missed
  npm run bench -- --json            records instead of tables
  npm run bench -- --dry             keeps nothing (so does --quick): bench/results and docs/benchmarks.md stay as they are

${Object.entries(cases)
  .map(([name, { about }]) => `  ${name.padEnd(4)} ${about}`)
  .join('\n')}

The peers are installed into bench/node_modules on first use; the product never depends on them.
docs/benchmarks.md says how each figure comes about.
`

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    dry: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
    repeat: { type: 'string' },
  },
})

process.exitCode = flags.help ? show(help) : await bench()

async function bench(): Promise<number> {
  const unknown = positionals.find((name) => !(name in cases))
  if (unknown !== undefined) {
    say(pc.red(`there is no benchmark ${unknown}: ${Object.keys(cases).join(', ')}`))
    return 2
  }
  installPeers()
  const records: Record[] = []
  for (const name of positionals.length > 0 ? positionals : Object.keys(cases)) records.push(await measure(name))
  if (flags.json) show(`${JSON.stringify(records, null, 2)}\n`)
  const missed = records.flatMap(({ floors }) => floors).filter((floor) => !met(floor))
  return flags.check && missed.length > 0 ? 1 : 0
}

async function measure(name: string): Promise<Record> {
  const one = await cases[name]?.load()
  if (!one) throw new Error(`no benchmark ${name}`)
  const repetitions = flags.repeat === undefined ? (flags.quick ? 2 : 5) : Math.max(1, Number(flags.repeat) || 1)
  const loadBefore = load()
  say(pc.dim(`${one.title} (load average ${loadBefore})`))
  const began = performance.now()
  await using lab = openLab({ quick: flags.quick, repetitions, say: (line) => say(pc.dim(line)) })
  const outcome = await one.run(lab)
  const record: Record = {
    case: one.name,
    title: one.title,
    at: new Date().toISOString(),
    commit: commit(),
    quick: flags.quick,
    repetitions,
    loadBefore,
    seconds: Math.round((performance.now() - began) / 1_000),
    machine: machine(),
    durability: lab.durability(),
    ...outcome,
  }
  if (!flags.json) show(forPeople(record))
  if (!flags.dry && !flags.quick) await keep(one, record)
  return record
}

function installPeers(): void {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  if (existsSync(`${folder}node_modules`)) return
  say('installing the peers into bench/node_modules …')
  execFileSync('npm', ['ci', '--prefix', folder, '--no-audit', '--no-fund'], { stdio: ['ignore', 'ignore', 'inherit'] })
}

function show(text: string): number {
  process.stdout.write(text)
  return 0
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
