import type { BenchCase, Floor, Lab, Table } from './case.ts'
import { guildHop, guildOnRedis } from './hops/guild.ts'
import { skipLockedLoop, streamLoop } from './hops/hand-written.ts'
import { type Hop, type Load, loads, through } from './hops/hop.ts'
import { bullmq, graphileWorker, pgBoss } from './hops/peers.ts'
import { type Results, rounds } from './rounds.ts'

export const busHop: BenchCase = {
  name: 'b4',
  title: 'B4: one hop of the bus',
  method: `
Publish → handle → acknowledge, messages of 1 KB over five priorities, publisher and consumer at the same time in one process, the
handler does nothing. *Singly*: one message a call, 64 calls under way. *In batches*: 200 messages a call, 4 calls under way. Counted
from the first call until the last message has been handled. Every contender begins with an empty store, with at most 10 connections
to PostgreSQL.

What the contenders were given: **guild** batches of 200 and 400 in flight; **pg-boss** \`batchSize\` 200, two workers,
\`burstWhenBatchFull\`, LISTEN/NOTIFY, \`insert\` for batches, monitors off; **graphile-worker** \`localQueue\` of 200, batched
completion, 64 jobs at a time, \`addJobs\` for batches; **BullMQ** 64 jobs at a time, pipelined, \`addBulk\` for batches, finished jobs
removed. The **SKIP LOCKED loop** is one table and one index, rows deleted and handled in one transaction; the **XREADGROUP loop** is one
stream a lane, acknowledged and deleted after the handler. Neither counts attempts, delays, dead-letters, keeps an order per key or a log.`,

  async run(lab) {
    const onRedis = (await lab.redis('everysec')) !== null
    const groups: readonly { readonly store: string; readonly floor: string; readonly hops: readonly Hop[] }[] = [
      {
        store: 'PostgreSQL',
        floor: skipLockedLoop.name,
        hops: [guildHop('postgres'), skipLockedLoop, pgBoss, graphileWorker, guildHop('pglite')],
      },
      ...(onRedis
        ? [
            {
              store: 'Redis',
              floor: 'XREADGROUP loop',
              hops: [guildOnRedis('everysec'), streamLoop('everysec'), bullmq('everysec')],
            },
          ]
        : []),
    ]
    const tables: Table[] = []
    const floors: Floor[] = []
    for (const { store, hops, floor } of groups) {
      const byLoad: { readonly load: Load; readonly results: Results<'perSecond'> }[] = []
      for (const load of loads) byLoad.push({ load, results: await measured(lab, hops, load) })
      tables.push({
        title: `Messages a second on ${store}`,
        columns: ['', ...loads.map(({ name }) => name)],
        rows: hops.map(({ name }) => [name, ...byLoad.map(({ results }) => results.median(name, 'perSecond'))]),
      })
      const ours = `guild on ${store}`
      for (const { load, results } of byLoad) floors.push(...floorsOf(store, ours, floor, load, results))
    }
    return { tables, floors }
  },
}

async function measured(lab: Lab, hops: readonly Hop[], load: Load): Promise<Results<'perSecond'>> {
  lab.say(` ${load.name}`)
  const contenders = hops.map((hop) => ({
    name: hop.name,
    run: () => through(hop, lab, load, lab.quick ? load.quickly : load.messages),
  }))
  return rounds(contenders, lab)
}

function floorsOf(
  store: string,
  ours: string,
  floor: string,
  load: Load,
  results: Results<'perSecond'>,
): readonly Floor[] {
  const peer = store === 'Redis' ? 'BullMQ' : 'pg-boss'
  return [
    { what: `${ours} to ${peer}, ${load.name}`, ...ratio(results, ours, peer), min: 1 },
    { what: `${ours} to the ${floor}, ${load.name}`, ...ratio(results, ours, floor), min: 0.5 },
  ]
}

function ratio(results: Results<'perSecond'>, ours: string, other: string) {
  const figure = results.ratio(ours, other, 'perSecond')
  return { figure: Number.isNaN(figure) ? null : figure, unit: '×' }
}
