import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { samplesOf } from '../test/github-samples.ts'
import type { BenchCase, Floor, Lab, StoreKind, Table } from './case.ts'
import type { IngestServer } from './ingest-server.ts'
import type { LoadFigures, LoadOrder } from './load-generator.ts'
import { type Results, rounds } from './rounds.ts'

type Metric = 'perSecond' | 'p50' | 'p99'
const whos = ['guild', 'floor', 'insert'] as const

const secret = 'a-secret-of-the-benchmark'
const connections = [1, 10, 50] as const
const stores: readonly { readonly kind: StoreKind; readonly name: string; readonly leastPerSecond: number }[] = [
  { kind: 'postgres', name: 'PostgreSQL', leastPerSecond: 1_000 },
  { kind: 'pglite', name: 'embedded', leastPerSecond: 600 },
]
const bodies = [
  { size: '1 KB', ...delivery('github_app_authorization', 915) },
  { size: '21 KB', ...delivery('pull_request', 21_370) },
]

export const ingest: BenchCase = {
  name: 'b1',
  title: 'B1: ingest',
  method: `
Signed deliveries of GitHub (its own published samples, 0.9 and 21 KB) over HTTP keep-alive connections, each with a delivery id of its own,
until the 202. The gateway reads the raw body, checks the signature, parses, normalises to the event, publishes and answers after
the commit. It is composed as in production: connectors, metrics, drain, and a log whose lines pass the privacy guard. The floor is a bare Fastify that checks the same signature and makes the same durable append with the raw body
(the bus: an entry of the log and a delivery, calls that wait together share a commit); it parses nothing and answers after the commit as
well. Beside it stands the least that a table can do: *insert* puts the raw body into one table without an index, one commit each. Server and load generator are processes of their own; the generator writes prepared buffers on raw sockets, and it
shares the cores with what it measures.`,

  async run(lab) {
    const tables: Table[] = []
    const floors: Floor[] = []
    for (const { kind, name, leastPerSecond } of stores) {
      await using rig = await openRig(lab, kind)
      const rows: (string | number)[][] = []
      for (const { size, ...delivery } of bodies) {
        for (const parallel of connections) {
          const what = `${name}, ${size}, c = ${parallel}`
          lab.say(` ${what}`)
          const results = await rounds(
            whos.map((who) => ({ name: who, run: () => rig.sample(who, { ...delivery, connections: parallel }) })),
            lab,
          )
          const ratio = results.ratio('guild', 'floor', 'perSecond')
          rows.push([
            size,
            parallel,
            ...cells(results, 'guild'),
            ...cells(results, 'floor'),
            ratio,
            results.median('insert', 'perSecond'),
            results.ratio('guild', 'insert', 'perSecond'),
          ])
          floors.push({ what: `${what}, of the floor`, figure: ratio, unit: '×', min: 0.7 })
          if (parallel !== 10) continue
          const figure = results.median('guild', 'perSecond')
          floors.push({ what, figure, unit: 'accepted/s', min: leastPerSecond })
          if (kind !== 'postgres') continue
          floors.push({ what: `${what}, p99`, figure: results.median('guild', 'p99'), unit: 'ms', max: 50 })
        }
      }
      const columns = [
        'body',
        'c',
        'guild /s',
        'p50 ms',
        'p99 ms',
        'floor /s',
        'p50 ms',
        'p99 ms',
        'of the floor',
        'insert /s',
        'of it',
      ]
      tables.push({ title: `Accepted deliveries on ${name}`, columns, rows })
    }
    return { tables, floors }
  },
}

function cells(results: Results<Metric>, who: string): readonly number[] {
  return (['perSecond', 'p50', 'p99'] as const).map((metric) => results.median(who, metric))
}

/** Both servers, each on a store of its own, and who sends; one of the servers works at a time. */
async function openRig(lab: Lab, kind: StoreKind) {
  const stack = new AsyncDisposableStack()
  const ports = new Map<IngestServer['who'], number>()
  for (const who of whos) {
    const store = stack.use(await lab.store(kind))
    // The server opens it: an embedded one belongs to one process at a time.
    await store.database.close()
    const server = start('./ingest-server.ts', [JSON.stringify({ who, at: store.at, secret } satisfies IngestServer)])
    stack.defer(() => stopped(server))
    const [port] = (await once(server, 'message')) as [number]
    ports.set(who, port)
  }
  const generator = start('./load-generator.ts', [])
  stack.defer(() => stopped(generator))
  const times = lab.quick ? { warmUpMs: 300, ms: 700 } : { warmUpMs: 500, ms: 1_500 }
  return {
    async sample(who: IngestServer['who'], order: Pick<LoadOrder, 'connections' | 'event' | 'body'>) {
      generator.send({ ...order, ...times, secret, port: ports.get(who) ?? 0 } satisfies LoadOrder)
      const [{ refused, ...figures }] = (await once(generator, 'message')) as [LoadFigures]
      if (refused > 0) throw new Error(`${who} on ${kind} refused ${refused} deliveries`)
      return figures
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function start(script: string, args: readonly string[]): ChildProcess {
  return fork(new URL(script, import.meta.url), args, {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    serialization: 'advanced', // JSON has no NaN
  })
}

async function stopped(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.disconnect()
  await exit
}

/** The sample of an event that has this many characters as JSON. */
function delivery(event: string, length: number): { readonly event: string; readonly body: string } {
  const texts = samplesOf('api.github.com')
    .filter((one) => one.event === event)
    .map(({ body }) => JSON.stringify(body))
  const body = texts.find((text) => text.length === length)
  if (body === undefined) throw new Error(`no sample of ${event} with ${length} characters`)
  return { event, body }
}
