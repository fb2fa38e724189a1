import { Gauge, type Registry } from 'prom-client'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { DoctorCheck } from './doctor.ts'

const sql = statements(import.meta.url, './sweeps.sql', ['sweeps', 'partitions', 'overdue'])

/** A sweeper that has not succeeded for ten of its periods, and not for ten minutes, is in trouble. */
const quietPeriods = 10
const quietMsMin = 600_000

interface Sweep {
  readonly name: string
  readonly every_ms: number
  readonly ok_at: number | null
  readonly runs: number
  readonly failures: number
  readonly swept: Readonly<Record<string, number>>
  readonly error: string | null
  readonly since_ms: number
}

interface PartedTable {
  readonly name: string
  readonly parts: number
  readonly ahead_s: number
  readonly next: boolean
  readonly rest: number
}

/** What the sweepers of all processes did, the parts of the big tables, and what is overdue; read when scraped, each by one small query. */
export function sweepMetrics(registry: Registry, database: Queryable): void {
  const gauge = (name: string, help: string, labelNames: readonly string[], collect: (self: Gauge) => Promise<void>) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames,
        registers: [],
        async collect() {
          this.reset()
          await collect(this)
        },
      }),
    )
  const sweeps = async () => (await database.query<Sweep>(sql.sweeps)).rows
  const tables = async () => (await database.query<PartedTable>(sql.partitions)).rows
  gauge('guild_sweeps_total', 'Runs of each sweeper', ['sweeper'], async (self) => {
    for (const { name, runs } of await sweeps()) self.set({ sweeper: name }, runs)
  })
  gauge('guild_sweep_failures_total', 'Runs of each sweeper that failed', ['sweeper'], async (self) => {
    for (const { name, failures } of await sweeps()) self.set({ sweeper: name }, failures)
  })
  gauge('guild_sweep_last_success_timestamp_seconds', 'When each last succeeded', ['sweeper'], async (self) => {
    for (const { name, ok_at } of await sweeps()) if (ok_at !== null) self.set({ sweeper: name }, ok_at)
  })
  gauge('guild_sweep_rows_total', 'Rows sent again, expired, made or removed', ['sweeper', 'kind'], async (self) => {
    for (const { name, swept } of await sweeps())
      for (const [kind, rows] of Object.entries(swept)) self.set({ sweeper: name, kind }, rows)
  })
  gauge('guild_partitions', 'Parts of each big table', ['table'], async (self) => {
    for (const { name, parts } of await tables()) self.set({ table: name }, parts)
  })
  gauge('guild_partitions_ahead_seconds', 'Until the last part made ahead ends', ['table'], async (self) => {
    for (const { name, ahead_s } of await tables()) self.set({ table: name }, ahead_s)
  })
  gauge('guild_overdue_seconds', 'For how long the oldest row is overdue; 0: none is', ['kind'], async (self) => {
    const { rows } = await database.query<{ kind: string; seconds: number | null }>(sql.overdue)
    for (const { kind, seconds } of rows) self.set({ kind }, seconds ?? 0)
  })
}

type Finding = Omit<DoctorCheck, 'name'>

/** Does each sweeper do its work, in whichever process? */
export async function checkSweepers(database: Queryable): Promise<Finding> {
  const { rows } = await database.query<Sweep>(sql.sweeps)
  const troubled = rows.filter(
    ({ every_ms, since_ms, error }) => error !== null || since_ms > Math.max(quietMsMin, quietPeriods * every_ms),
  )
  if (troubled.length === 0) {
    const finding = rows.length === 0 ? 'none has run yet' : `${rows.length} do their work`
    return { verdict: 'ok', finding, fix: null }
  }
  const told = troubled.map(({ name, since_ms, error }) =>
    error === null ? `${name} has not run for ${Math.round(since_ms / 60_000)} min` : `${name} failed: ${error}`,
  )
  return {
    verdict: 'warning',
    finding: told.join('; '),
    fix: 'Each belongs to a role (docs/operations.md): see that one process of it runs, and its log.',
  }
}

/** Is the next part of every big table there? Without it rows lie in the rest until it is made. */
export async function checkPartitions(database: Queryable): Promise<Finding> {
  const { rows } = await database.query<PartedTable>(sql.partitions)
  const missing = rows.filter(({ next }) => !next).map(({ name }) => name)
  if (missing.length === 0) {
    const total = rows.reduce((sum, { parts }) => sum + parts, 0)
    return { verdict: 'ok', finding: `${total} parts of ${rows.length} tables, the next ones are there`, fix: null }
  }
  return {
    verdict: 'warning',
    finding: `the next part is missing: ${missing.join(', ')}`,
    fix: 'Nothing is lost. A process of the role audit makes it within an hour: `guild run audit`, or once: `guild run audit --once`.',
  }
}
