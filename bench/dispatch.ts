import { setTimeout as delay } from 'node:timers/promises'
import { PostgresBus } from '../src/bus/postgres/postgres-bus.ts'
import { PostgresOutbox } from '../src/bus/postgres/postgres-outbox.ts'
import { dispatcher } from '../src/dispatcher/dispatcher.ts'
import type { Ruling } from '../src/dispatcher/decide.ts'
import { systemClock } from '../src/kernel/clock.ts'
import type { GuildEvent } from '../src/kernel/event.ts'
import { silentLog } from '../src/kernel/log.ts'
import { everyAgentTopic, topics } from '../src/kernel/topics.ts'
import { headroom } from '../src/processes/headroom.ts'
import { anEvent } from '../test/dispatch.ts'
import { kindOf, middleSizedCodex } from './agents-and-rules.ts'
import type { BenchCase, Lab, Store, StoreKind } from './case.ts'
import { percentile, rounds, type Sample } from './rounds.ts'

const stores: readonly { readonly kind: StoreKind; readonly name: string }[] = [
  { kind: 'postgres', name: 'PostgreSQL' },
  { kind: 'pglite', name: 'embedded' },
]
const steady = 200
const limitMs = 120_000

export const dispatch: BenchCase = {
  name: 'b2',
  title: 'B2: dispatch',
  method: `
From \`guild.events.inbound\` to READY on the agent's topic: an event of 1 KB is read, looked up, held against 20 rules and the triggers of
100 agents, and wakes one of them. Its row, receipt, decisions, invocation, audit entry and the agent's message are written in the
transaction of its batch. *Events a second*: a backlog, counted until the last one is decided. *Latency*: ${steady} events a second,
published one by one, from the call of publish until a consumer of the agent's topic holds the message. One dispatcher in one process.`,

  async run(lab) {
    const snapshot = middleSizedCodex()
    const count = lab.quick ? 3_000 : 10_000
    const contenders = stores.map(({ kind, name }) => ({
      name,
      run: async (): Promise<Sample<'perSecond' | 'p50' | 'p99'>> => ({
        ...(await backlog(lab, kind, snapshot, count)),
        ...(await latency(lab, kind, snapshot)),
      }),
    }))
    const results = await rounds(contenders, lab)
    const p99 = results.median('PostgreSQL', 'p99')
    return {
      tables: [
        {
          title: 'Events',
          columns: ['', 'a second', `p50 ms at ${steady}/s`, `p99 ms at ${steady}/s`],
          rows: stores.map(({ name }) => [
            name,
            results.median(name, 'perSecond'),
            results.median(name, 'p50'),
            results.median(name, 'p99'),
          ]),
        },
      ],
      floors: [
        { what: 'PostgreSQL', figure: results.median('PostgreSQL', 'perSecond'), unit: 'events/s', min: 3_000 },
        { what: `PostgreSQL, p99 at ${steady}/s`, figure: p99, unit: 'ms', max: 30 },
      ],
    }
  },
}

type Snapshot = ReturnType<typeof middleSizedCodex>

/** A guild's dispatcher on a new store, with the groups that a guild has. */
async function open(store: Store, snapshot: Snapshot, observe: (ruling: Ruling) => void) {
  const bus = new PostgresBus({ database: store.database, clock: systemClock, log: silentLog })
  for (const [topic, group] of [
    [topics.inbound, 'dispatcher'],
    [everyAgentTopic, 'executor'],
    [topics.audit, 'audit'],
    [topics.actions, 'actions'],
  ] as const)
    await bus.ensureGroup({ topic, group })
  const consumer = dispatcher({
    database: store.database,
    outbox: new PostgresOutbox(bus),
    codex: { current: () => snapshot },
    clock: systemClock,
    log: silentLog,
    echoes: { confirm: () => Promise.resolve(null) },
    headroom: headroom({ organisation: 'octo', clock: systemClock }),
    observe,
  })
  return { bus, consumer }
}

async function backlog(lab: Lab, kind: StoreKind, snapshot: Snapshot, count: number): Promise<Sample<'perSecond'>> {
  await using store = await lab.store(kind)
  const all = Promise.withResolvers<void>()
  let decided = 0
  const { bus, consumer } = await open(store, snapshot, ({ disposition, event }) => {
    if (disposition !== 'ROUTED') all.reject(new Error(`${event.id} ended as ${disposition}`))
    decided += 1
    if (decided === count) all.resolve()
  })
  for (let serial = 0; serial < count; serial += 500)
    await bus.publish(
      topics.inbound,
      Array.from({ length: Math.min(500, count - serial) }, (_, n) => inbound(serial + n)),
    )
  const stop = new AbortController()
  const late = setTimeout(() => all.reject(new Error(`${decided} of ${count} events in two minutes`)), limitMs)
  const began = performance.now()
  const consuming = bus.consume(consumer.subscription, consumer.handle, stop.signal)
  try {
    await all.promise
    return { perSecond: (count / (performance.now() - began)) * 1_000 }
  } finally {
    clearTimeout(late)
    stop.abort()
    await consuming
    await bus.close()
  }
}

async function latency(lab: Lab, kind: StoreKind, snapshot: Snapshot): Promise<Sample<'p50' | 'p99'>> {
  await using store = await lab.store(kind)
  const published = new Map<string, number>()
  const begunBy = new Map<string, string>()
  const took: number[] = []
  const { bus, consumer } = await open(store, snapshot, ({ event, wakings }) => {
    for (const { invocationId } of wakings) begunBy.set(invocationId, event.id)
  })
  const stop = new AbortController()
  const ready: string[] = []
  const at: number[] = []
  const consuming = [
    bus.consume(consumer.subscription, consumer.handle, stop.signal),
    bus.consume(
      { topic: everyAgentTopic, group: 'executor', maxInFlight: 64, batchMax: 16 },
      async (batch) => {
        for (const { id } of batch) {
          ready.push(id)
          at.push(performance.now())
        }
      },
      stop.signal,
    ),
  ]
  const warmUp = steady
  const count = warmUp + steady * (lab.quick ? 2 : 5)
  const publishing: Promise<void>[] = []
  const began = performance.now()
  for (let serial = 0; serial < count; serial += 1) {
    await delay(Math.max(0, began + (serial * 1_000) / steady - performance.now()))
    const message = inbound(serial)
    published.set(message.body.id, performance.now())
    publishing.push(bus.publish(topics.inbound, [message]))
  }
  await Promise.all(publishing)
  for (const until = performance.now() + 20_000; ready.length < count && performance.now() < until;) await delay(20)
  stop.abort()
  await Promise.all(consuming)
  await bus.close()
  if (ready.length < count) throw new Error(`${ready.length} of ${count} events arrived`)
  for (const [index, id] of ready.entries()) {
    const from = published.get(begunBy.get(id) ?? '')
    if (from !== undefined && index >= warmUp) took.push((at[index] ?? 0) - from)
  }
  return { p50: percentile(took, 0.5), p99: percentile(took, 0.99) }
}

const filler = 'The till rounds half a cent up and the day does not add up. '.repeat(6)

/** As the gateway publishes it, some 1.5 KB as JSON. */
function inbound(serial: number): { readonly id: string; readonly key: string; readonly body: GuildEvent } {
  const { type, repository } = kindOf(serial)
  const body = anEvent({
    type,
    payload: {
      action: 'opened',
      number: serial,
      title: 'Mend the till',
      body: filler,
      repository: { full_name: repository, private: true },
      sender: { login: 'ada', type: 'User' },
    },
    metadata: {
      subject: {
        kind: 'pull_request',
        id: `${repository}#${serial}`,
        url: `https://github.com/${repository}/pull/${serial}`,
      },
    },
  })
  return { id: body.metadata.receipt_id, key: body.metadata.subject.id, body }
}
