// What one run costs beyond model, tool and target: journal, ledger, guards, action desk and audit, one run at a time.
// Run: npm run bench:overhead [runs], with DATABASE_URL for a server (an empty database), without for the embedded one in a folder, as
// `guild up` opens it. Model and tool answer at once; their time is measured and taken off all the same.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Desk } from '../src/actions/desk.ts'
import { githubActionTypes } from '../src/actions/targets/github.ts'
import { FileArtifacts } from '../src/artifacts/file.ts'
import { auditWriter } from '../src/audit/writer.ts'
import { PostgresBus } from '../src/bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../src/bus/postgres/postgres-outbox.ts'
import { connector } from '../src/codex/kind-connector.ts'
import type { MigratableDatabase } from '../src/database/database.ts'
import { loadMigrations, migrate } from '../src/database/migrate.ts'
import { openHomeDatabase } from '../src/database/pglite/home-database.ts'
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { silentLog } from '../src/kernel/log.ts'
import { topics } from '../src/kernel/topics.ts'
import { Bench, type BenchSetup, MortalDatabase, rule } from '../test/executor-bench.ts'

const actionsSql = "SELECT count(*)::integer AS n FROM guild_core.actions WHERE state <> 'DENIED'"
const auditSql = "SELECT count(*)::integer AS n FROM guild_bus.messages WHERE topic = 'guild.audit.log'"

const runs = Number(process.argv[2] ?? 300)
const warmUp = 30
const url = process.env['DATABASE_URL']
const folder = await mkdtemp(join(tmpdir(), 'guild-overhead-'))
const database: MigratableDatabase = url ? await PostgresDatabase.open({ url }) : (await openHomeDatabase(folder)).db
await migrate(database, loadMigrations())
const bus = new PostgresBus({ database, clock: systemClock, log: silentLog })
await bus.ensureGroup({ topic: topics.audit, group: 'audit' })
const outbox = new PostgresOutbox(bus)
const desk = new Desk({ systems: [{ system: 'github', types: githubActionTypes }], outbox, live: ['github'] })
const artifacts = new FileArtifacts(join(folder, 'artifacts'))
const github = connector.parse({
  apiVersion: 'guild/v1',
  kind: 'Connector',
  metadata: { name: 'github' },
  spec: { system: 'github', mode: 'live' },
})

/** 6 KB of diff, as a reviewer of pull requests reads it; with a key and an address for the guards to find. */
const diff = Array.from(
  { length: 90 },
  (_, line) => `+  const total${line} = cart.items.reduce((sum, item) => sum + item.price * item.count, 0)`,
).join('\n')
const text = `${diff}\n+ // ask ada@example.com about AKIAIOSFODNN7EXAMPLE`

const context = [{ id: 'pr', tool: 'github.get_pull_request', args: { number: '{{payload.number}}' } }]
const tools = {
  allow: [{ name: 'github.list_files' }],
  actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 1 }],
}
const comment = (serial: number) => ({ repo: 'octo/shop', number: 12, body: `Looks good to me, reader ${serial}.` })

let serial = 0
const cases: readonly { readonly name: string; readonly setup: () => BenchSetup }[] = [
  {
    name: 'rules: one context read, one action',
    setup: () => ({
      spec: { model: { prefer: ['rules'] }, rules: 'rules/a.yaml', context, tools },
      rules: [rule('greet', 'true', { do: [{ action: 'GITHUB_COMMENT', args: comment(serial) }] })],
      reads: { 'github.get_pull_request': { text, data: { title: 'Add a cart' } } },
    }),
  },
  {
    name: 'model: one context read, one tool read, one action, three model calls',
    setup: () => ({
      spec: { context, tools },
      reads: { 'github.get_pull_request': { text, data: { title: 'Add a cart' } }, 'github.list_files': { text } },
      script: (_request, call) =>
        [
          { text: 'I look.', toolCalls: [{ id: 'a', name: 'github_list_files', args: { number: 12 } }] },
          { text: 'I say so.', toolCalls: [{ id: 'b', name: 'GITHUB_COMMENT', args: comment(serial) }] },
          { text: 'Done: one comment.' },
        ][call - 1] ?? { text: 'Done.' },
    }),
  },
]

for (const { name, setup } of cases) {
  const overheads: number[] = []
  let statements: readonly string[] = []
  let steps: readonly string[] = []
  let trips = 0
  for (let run = 0; run < runs + warmUp; run += 1) {
    serial += 1
    const bench = await Bench.open(database, setup())
    const counted = new MortalDatabase(database)
    let outside = 0
    const deps = bench.deps(counted, { outbox, intake: desk, artifacts })
    const timed = async <T>(work: () => Promise<T>): Promise<T> => {
      const began = performance.now()
      try {
        return await work()
      } finally {
        outside += performance.now() - began
      }
    }
    const snapshot = { ...bench.snapshot, connectors: new Map([['github', github]]) }
    const began = performance.now()
    const nack = await bench.deliver({
      ...deps,
      codex: { current: () => snapshot, at: () => Promise.resolve(snapshot), problems: () => null },
      llm: { call: (request, options) => timed(() => deps.llm.call(request, options)) },
      tools: {
        open: (connectors) => {
          const session = deps.tools.open(connectors)
          return {
            list: (of) => timed(() => session.list(of)),
            call: (tool, args, options) => timed(() => session.call(tool, args, options)),
            [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
          }
        },
      },
    })
    const took = performance.now() - began - outside
    const row = await bench.row()
    if (nack || row['state'] !== 'COMPLETED')
      throw new Error(`the run ended ${String(row['state'])}: ${String(row['detail'])}`)
    if (run < warmUp) continue
    overheads.push(took)
    statements = counted.statements
    trips = counted.trips
    steps = await bench.journal()
  }
  const acted = (await database.query<{ n: number }>({ name: 'overhead.actions', text: actionsSql })).rows[0]?.n
  const perStep = (statements.length / steps.length).toFixed(1)
  print(`\n${name}`)
  print(
    `  overhead      p50 ${at(overheads, 0.5)} ms · p95 ${at(overheads, 0.95)} ms · max ${at(overheads, 1)} ms (${runs} runs)`,
  )
  print(
    `  SQL           ${statements.length} statements in ${trips} round trips of the pool, ${steps.length} steps: ${perStep} a step`,
  )
  for (const [statement, count] of countsOf(statements)) print(`    ${String(count).padStart(2)} × ${statement}`)
  print(`  steps         ${steps.map((step) => step.split(' ').slice(1, 3).join(' ')).join(' · ')}`)
  print(`  actions so far ${acted}`)
}

// What a run says to the audit trail is appended behind it, in batches.
const stop = new AbortController()
const writer = auditWriter({ db: database, log: silentLog })
const waiting = (await database.query<{ n: number }>({ name: 'overhead.audit', text: auditSql })).rows[0]?.n ?? 0
let appended = 0
let auditMs = 0
await bus.consume(
  writer.subscription,
  async (batch, signal) => {
    const began = performance.now()
    const nacks = await writer.handle(batch, signal)
    auditMs += performance.now() - began
    appended += batch.length
    if (appended >= waiting) stop.abort()
    return nacks
  },
  stop.signal,
)
const entriesPerRun = appended / (cases.length * (runs + warmUp))
print(`\naudit`)
print(
  `  ${appended} entries appended in ${auditMs.toFixed(0)} ms: ${(auditMs / appended).toFixed(2)} ms an entry, ${entriesPerRun.toFixed(1)} entries and ${((auditMs / appended) * entriesPerRun).toFixed(2)} ms a run`,
)
print(`\ndatabase ${url ? 'PostgreSQL' : 'embedded'}, Node ${process.version}`)
await bus[Symbol.asyncDispose]()
await database.close()
await rm(folder, { recursive: true, force: true })

function at(figures: readonly number[], share: number): string {
  const sorted = figures.toSorted((a, b) => a - b)
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1)
}

function countsOf(names: readonly string[]): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts]
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
