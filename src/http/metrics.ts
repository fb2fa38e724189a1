import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type { Database } from '../database/database.ts'
import type { Bus } from '../bus/bus.ts'
import type { SpanCounts } from '../traces/otlp-tracer.ts'
import { statements } from '../database/statements.ts'
import { type CountedKind, Counts } from './counts.ts'
import { sweepMetrics } from './sweeps.ts'

const sql = statements(import.meta.url, './metrics.sql', [
  'deskWaiting',
  'breakersOpen',
  'ledgerImbalance',
  'budgetUsed',
])

export interface Metrics {
  readonly registry: Registry
  readonly deliveries: Counter<'source' | 'status'>
  readonly deliverySeconds: Histogram<'source'>
  /** a call of a connector had to wait for its rate */
  readonly onRateWait: (connector: string, waitMs: number) => void
}

/** What `/metrics` shows. Figures that live in tables are read when scraped, so that a restart never resets them. */
export function metrics({
  database,
  bus,
  spans,
  about,
}: {
  readonly database: Database
  readonly bus: Bus
  /** what became of trace spans; absent: nothing is traced */
  readonly spans?: { readonly counts: SpanCounts } | null
  /** what this process is: labels of `guild_info`, whose value is always 1 */
  readonly about?: { readonly version: string; readonly role: string; readonly instance: string }
}): Metrics {
  const registry = new Registry()
  // Its default looks at the event loop 100 times a second: half of all that an idle process would do.
  collectDefaultMetrics({ register: registry, prefix: 'guild_process_', eventLoopMonitoringPrecision: 100 })
  const table = (name: string, help: string, label: string, statement: (typeof sql)[keyof typeof sql]) =>
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      async collect() {
        this.reset()
        const { rows } = await database.query<{ label: string; count: number }>(statement)
        for (const row of rows) this.set({ [label]: row.label }, row.count)
      },
    })
  countMetrics(registry, new Counts(database))
  table('guild_desk_waiting', 'What waits for a person', 'kind', sql.deskWaiting)
  table('guild_breakers', 'Circuit breakers by state', 'state', sql.breakersOpen)
  table(
    'guild_ledger_imbalance',
    'Budgets whose reserved figures are not the sum of their open reservations; 0 is right',
    'dimension',
    sql.ledgerImbalance,
  )
  table('guild_budget_used_ratio', 'Consumed share of a limit in its running period', 'budget', sql.budgetUsed)
  const ready = new Gauge({
    name: 'guild_bus_ready',
    help: 'Messages deliverable and not claimed',
    labelNames: ['topic', 'group'],
    registers: [],
    async collect() {
      this.reset()
      for (const lag of await bus.lag()) this.set({ topic: lag.topic, group: lag.group }, lag.ready)
    },
  })
  registry.registerMetric(ready)
  sweepMetrics(registry, database)
  if (spans) registry.registerMetric(spanCounter(spans))
  if (about) registry.registerMetric(info(about))
  const rateWaits = rateWaitSeconds(registry)
  return {
    registry,
    deliveries: new Counter({
      name: 'guild_deliveries_total',
      help: 'Webhook deliveries by answer',
      labelNames: ['source', 'status'],
      registers: [registry],
    }),
    deliverySeconds: new Histogram({
      name: 'guild_delivery_seconds',
      help: 'From the last byte of a delivery to its answer',
      labelNames: ['source'],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2],
      registers: [registry],
    }),
    onRateWait: (connector, waitMs) => rateWaits.observe({ connector }, waitMs / 1_000),
  }
}

/** Rows by state: of those that are there, retention takes some. */
function countMetrics(registry: Registry, counts: Counts): void {
  const gauge = (name: string, help: string, label: string, kind: CountedKind) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers: [],
        async collect() {
          const counted = Object.entries((await counts.read())[kind])
          this.reset()
          for (const [state, count] of counted) this.set({ [label]: state }, count)
        },
      }),
    )
  gauge('guild_runs', 'Invocations by state', 'state', 'run')
  gauge('guild_actions', 'Actions by state', 'state', 'action')
  gauge('guild_receipts', 'Receptions by disposition; received is their sum', 'disposition', 'disposition')
}

/** Joined to any other metric by `instance` it says which version and role a figure comes from. */
function info(about: Readonly<Record<'version' | 'role' | 'instance', string>>): Gauge {
  const labels = { ...about, node: process.versions.node }
  const gauge = new Gauge({
    name: 'guild_info',
    help: 'This process: version, role, instance (as in leases and logs) and Node; always 1',
    labelNames: Object.keys(labels),
    registers: [],
  })
  gauge.set(labels, 1)
  return gauge
}

function rateWaitSeconds(registry: Registry): Histogram<'connector'> {
  return new Histogram({
    name: 'guild_rate_wait_seconds',
    help: 'Calls of a connector that had to wait for its rate, by how long; those that need not wait are not counted',
    labelNames: ['connector'],
    buckets: [0.1, 1, 10, 60, 600, 3_600],
    registers: [registry],
  })
}

function spanCounter(spans: { readonly counts: SpanCounts }): Counter {
  return new Counter({
    name: 'guild_trace_spans_total',
    help: 'Trace spans by what became of them: exported, dropped because the queue was full, failed at the collector',
    labelNames: ['result'],
    registers: [],
    collect() {
      this.reset()
      for (const [result, count] of Object.entries(spans.counts)) this.inc({ result }, count)
    },
  })
}
