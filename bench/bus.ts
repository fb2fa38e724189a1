// Publish → acknowledge through the bus on one database; prints one line per case.
// Run: npx node bench/bus.ts, with DATABASE_URL for a server (an empty database), without for the embedded one in memory.
import { PostgresBus } from '../src/bus/postgres/postgres-bus.ts'
import type { MigratableDatabase } from '../src/database/database.ts'
import { loadMigrations, migrate } from '../src/database/migrate.ts'
import { PgliteDatabase } from '../src/database/pglite/pglite-database.ts'
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { silentLog } from '../src/kernel/log.ts'

const url = process.env['DATABASE_URL']
await using database: MigratableDatabase = url ? await PostgresDatabase.open({ url }) : await PgliteDatabase.inMemory()
await migrate(database, loadMigrations())
await using bus = new PostgresBus({ database, clock: systemClock, log: silentLog })

interface Case {
  readonly name: string
  readonly messages: number
  readonly publishBatch: number
  readonly maxInFlight: number
  readonly batchMax: number
  readonly keys: number
}

const cases: readonly Case[] = [
  { name: 'batches', messages: 10_000, publishBatch: 200, maxInFlight: 400, batchMax: 200, keys: 0 },
  { name: 'singles in flight', messages: 5_000, publishBatch: 100, maxInFlight: 64, batchMax: 1, keys: 0 },
  { name: '100 keys', messages: 2_000, publishBatch: 100, maxInFlight: 64, batchMax: 1, keys: 100 },
  { name: 'one key', messages: 300, publishBatch: 100, maxInFlight: 64, batchMax: 1, keys: 1 },
]

for (const one of cases) {
  const topic = `bench.${one.name}.${Date.now()}`
  await bus.ensureGroup({ topic, group: 'g' })
  const publishing = performance.now()
  for (let n = 0; n < one.messages; n += one.publishBatch) {
    await bus.publish(
      topic,
      Array.from({ length: one.publishBatch }, (_, index) => ({
        id: `m${n + index}`,
        body: { text: 'x'.repeat(500) },
        ...(one.keys > 0 && { key: `k${(n + index) % one.keys}` }),
      })),
    )
  }
  const publishMs = performance.now() - publishing
  const consuming = performance.now()
  const stop = new AbortController()
  let count = 0
  await bus.consume(
    { topic, group: 'g', maxInFlight: one.maxInFlight, batchMax: one.batchMax },
    async (batch) => {
      count += batch.length
      if (count >= one.messages) stop.abort()
    },
    stop.signal,
  )
  const consumeMs = performance.now() - consuming
  report(one.name, {
    publish: perSecond(one.messages, publishMs),
    consume: perSecond(one.messages, consumeMs),
    through: perSecond(one.messages, publishMs + consumeMs),
  })
}

await latency()

async function latency(): Promise<void> {
  const topic = `bench.latency.${Date.now()}`
  const stop = new AbortController()
  let arrived = Promise.withResolvers<void>()
  await bus.ensureGroup({ topic, group: 'g' })
  const consuming = bus.consume({ topic, group: 'g', maxInFlight: 8 }, async () => arrived.resolve(), stop.signal)
  const took: number[] = []
  for (let n = 0; n < 200; n++) {
    arrived = Promise.withResolvers()
    const from = performance.now()
    await bus.publish(topic, [{ id: `m${n}`, body: n }])
    await arrived.promise
    took.push(performance.now() - from)
  }
  stop.abort()
  await consuming
  const sorted = took.toSorted((a, b) => a - b)
  report('latency', { 'p50 ms': sorted[100]?.toFixed(2) ?? '', 'p99 ms': sorted[198]?.toFixed(2) ?? '' })
}

function perSecond(count: number, ms: number): string {
  return `${Math.round((count / ms) * 1000)}/s`
}

function report(name: string, figures: Readonly<Record<string, string>>): void {
  const text = Object.entries(figures).map(([what, value]) => `${what} ${value}`)
  process.stdout.write(`${database.kind.padEnd(9)} ${name.padEnd(18)} ${text.join('  ')}\n`)
}
