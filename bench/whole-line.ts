// B3, the whole line: event → run (scripted model, one read, one action) → confirmed action → audit row. Dispatcher, executor, action
// executor and audit in one process, as `guild up` drives them; model, tool and target answer at once.
// Run: npx node bench/whole-line.ts [model|rules] [events], with DATABASE_URL for a server (an empty database), without for the embedded
// one in a folder, as `guild up` opens it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openHomeDatabase } from '../src/database/pglite/home-database.ts'
import type { MigratableDatabase } from '../src/database/database.ts'
import { loadMigrations, migrate } from '../src/database/migrate.ts'
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { CountedDatabase } from './counted-database.ts'
import { type Flow, LineUnderTest, type Workload } from './line-under-test.ts'

const workload: Workload = process.argv[2] === 'rules' ? 'rules' : 'model'
const events = Number(process.argv[3] ?? 2000)
const steadyPerSecond = Number(process.env['BENCH_RATE'] ?? 20)
const url = process.env['DATABASE_URL']
const folder = await mkdtemp(join(tmpdir(), 'guild-line-'))
const database: MigratableDatabase = url ? await PostgresDatabase.open({ url }) : (await openHomeDatabase(folder)).db
await migrate(database, loadMigrations())
const counted = new CountedDatabase(database)
const line = await LineUnderTest.start(counted, { workload, folder })

print(`${workload}, ${database.kind}`)
await line.flow({ events: 300, perSecond: null })
counted.reset()
const cpu = process.cpuUsage()
const full = await line.flow({ events, perSecond: null })
const { user, system } = process.cpuUsage(cpu)
print(`  throughput    ${(events / full.seconds).toFixed(0)} runs/s (${events} events in ${full.seconds.toFixed(1)} s)`)
print(`  node CPU      ${((user + system) / 1000 / events).toFixed(2)} ms a run, all threads`)
print(
  `  SQL           ${(counted.statements / events).toFixed(1)} statements, ${(counted.trips / events).toFixed(1)} round trips of the pool a run`,
)
for (const { name, count, ms } of counted.table()) {
  print(
    `    ${(count / events).toFixed(2).padStart(6)} × ${name.padEnd(34)} ${(ms / count).toFixed(2).padStart(7)} ms each`,
  )
}
if (steadyPerSecond > 0) {
  const steady = await line.flow({ events: steadyPerSecond * 10, perSecond: steadyPerSecond })
  print(`  at ${steadyPerSecond}/s       event → audit row p50 ${at(steady, 0.5)} ms · p99 ${at(steady, 0.99)} ms`)
}
await line.stop()
await database.close()
await rm(folder, { recursive: true, force: true })

function at({ latencies }: Flow, share: number): string {
  const sorted = latencies.toSorted((a, b) => a - b)
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
