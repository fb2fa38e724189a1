import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Database } from '../src/database/database.ts'
import type { BenchCase, Lab, StoreKind, Table } from './case.ts'
import { CountedDatabase } from './counted-database.ts'
import { LineUnderTest, type Workload } from './line-under-test.ts'
import { percentile, rounds, type Sample } from './rounds.ts'

type Metric = 'perSecond' | 'p50' | 'p99' | 'nodeMs' | 'serverMs' | 'statements' | 'trips'

const stores: readonly { readonly kind: StoreKind; readonly name: string }[] = [
  { kind: 'postgres', name: 'PostgreSQL' },
  { kind: 'pglite', name: 'embedded' },
]
const workloads: readonly { readonly workload: Workload; readonly name: string }[] = [
  { workload: 'model', name: 'model' },
  { workload: 'rules', name: 'rules' },
]
const steady = 20
const warmUp = 200
const tickMs = 10
const dearest = 12

export const wholeLine: BenchCase = {
  name: 'b3',
  title: 'B3: the whole line',
  method: `
Event → run → confirmed action → audit row, in one process as \`guild up\` drives it: dispatcher, executor, action executor and audit
with their own settings, on 20 agents. An event of 1 KB wakes a run that reads 7 KB of a tool, with a secret and an address for the
guards to find, and proposes one comment; model, tool and target answer at once. *model*: two paid calls of a scripted model, each
reserved and settled in five budgets; *rules*: the manifest's rules decide and nothing is reserved. *Runs a second*: a backlog, from the
first publish to the last audit row. *Latency*: ${steady} events a second, from the publish of an event to the commit of the last row of its
trail. CPU is that of all threads of the process, and of the server's processes.`,

  async run(lab) {
    const dear = new Map<string, Table['rows']>()
    const contenders = workloads.flatMap((load) =>
      stores.map((store) => {
        const name = `${load.name}, ${store.name}`
        return { name, run: () => repetition(lab, store.kind, load.workload, (rows) => dear.set(name, rows)) }
      }),
    )
    const results = await rounds<Metric>(contenders, lab)
    const of = (name: string, metric: Metric) => results.median(name, metric)
    return {
      tables: [
        {
          title: 'Runs',
          columns: [
            '',
            'a second',
            `p50 ms at ${steady}/s`,
            `p99 ms at ${steady}/s`,
            'CPU ms a run',
            'of the server',
            'statements',
            'round trips',
          ],
          rows: contenders.map(({ name }) => [
            name,
            of(name, 'perSecond'),
            of(name, 'p50'),
            of(name, 'p99'),
            of(name, 'nodeMs'),
            Number.isNaN(of(name, 'serverMs')) ? null : of(name, 'serverMs'),
            of(name, 'statements'),
            of(name, 'trips'),
          ]),
        },
        ...[...dear].map(([name, rows]) => ({
          title: `Where the database's time goes: ${name}`,
          columns: ['statement', 'a run', 'ms each, waiting included'],
          rows,
        })),
      ],
      floors: [
        { what: 'PostgreSQL', figure: of('model, PostgreSQL', 'perSecond'), unit: 'runs/s', min: 300 },
        { what: 'embedded', figure: of('model, embedded', 'perSecond'), unit: 'runs/s', min: 150 },
      ],
    }
  },
}

async function repetition(
  lab: Lab,
  kind: StoreKind,
  workload: Workload,
  tell: (rows: Table['rows']) => void,
): Promise<Sample<Metric>> {
  await using store = await lab.store(kind)
  const folder = await mkdtemp(join(tmpdir(), 'guild-line-'))
  const counted = new CountedDatabase(store.database)
  const line = await LineUnderTest.start(counted, { workload, folder })
  try {
    const events = lab.quick ? 500 : 3_000
    await line.flow({ events: warmUp, perSecond: null })
    counted.reset()
    const cpu = process.cpuUsage()
    const server = await serverTicks(store.database)
    const { seconds } = await line.flow({ events, perSecond: null })
    const { user, system } = process.cpuUsage(cpu)
    const ticks = (await serverTicks(store.database)) - server
    tell(
      counted
        .table()
        .slice(0, dearest)
        .map(({ name, count, ms }) => [name, count / events, ms / count]),
    )
    const { statements, trips } = counted
    const { latencies } = await line.flow({ events: steady * (lab.quick ? 5 : 20), perSecond: steady })
    return {
      perSecond: events / seconds,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      nodeMs: (user + system) / 1_000 / events,
      serverMs: (ticks * tickMs) / events,
      statements: statements / events,
      trips: trips / events,
    }
  } finally {
    await line.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** CPU of the server's processes that are there now, in ticks; NaN where it cannot be read. Connections stay while a line runs. */
async function serverTicks(database: Database): Promise<number> {
  if (database.kind !== 'postgres' || process.platform !== 'linux') return Number.NaN
  const { rows } = await database.query<{ pid: number }>({
    name: 'bench.pids',
    text: 'SELECT pid FROM pg_stat_activity',
  })
  return rows.reduce((sum, { pid }) => {
    // After the name, which may hold spaces: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return sum + Number(fields[11]) + Number(fields[12])
  }, 0)
}
