import { priorityOf } from '../src/bus/message-rules.ts'
import { PostgresBus } from '../src/bus/postgres/postgres-bus.ts'
import { statements } from '../src/database/statements.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { silentLog } from '../src/kernel/log.ts'
import type { BenchCase, Lab, Store } from './case.ts'
import { rounds, type Sample } from './rounds.ts'

const sql = statements(import.meta.url, './backlog.sql', ['messages', 'deliveries', 'renew'])
const topic = 'bench'
const subscription = { topic, group: 'g', maxInFlight: 400, batchMax: 200 }
const limitMs = 120_000
/** Below the time limit of one statement. */
const loadSlice = 100_000

export const backlog: BenchCase = {
  name: 'b5',
  title: 'B5: a backlog',
  method: `
The bus on PostgreSQL with 1 000 000 messages waiting in the group against an empty one: half of them are delayed by a day, half are ready
in the last lane, and all are rows as publish writes them. Measured are messages of 1 KB in the first two lanes: published in batches
of 200, then consumed in batches of 200, and both times together are the rate.`,

  async run(lab) {
    const waiting = lab.quick ? 100_000 : 1_000_000
    const count = lab.quick ? 4_000 : 20_000
    await using empty = await lab.store('postgres')
    await using full = await lab.store('postgres')
    lab.say(` loading ${waiting} messages`)
    await load(full, waiting)
    const results = await rounds(
      [
        { name: 'empty', run: (round) => hop(lab, empty, count, round) },
        { name: 'backlog', run: (round) => hop(lab, full, count, round) },
      ],
      lab,
    )
    const name = `${waiting.toLocaleString('en-US').replaceAll(',', ' ')} waiting`
    const ratio = (metric: 'perSecond' | 'publish' | 'consume') => results.ratio('backlog', 'empty', metric)
    const row = (who: string) => (['publish', 'consume', 'perSecond'] as const).map((one) => results.median(who, one))
    return {
      tables: [
        {
          title: 'Messages a second',
          columns: ['', 'publish', 'consume', 'hop'],
          rows: [
            ['empty', ...row('empty')],
            [name, ...row('backlog')],
            ['of the empty one', ratio('publish'), ratio('consume'), ratio('perSecond')],
          ],
        },
      ],
      floors: [{ what: `hop rate with ${name}, of the empty one`, figure: ratio('perSecond'), unit: '×', min: 0.7 }],
    }
  },
}

async function load({ database }: Store, waiting: number): Promise<void> {
  await using bus = new PostgresBus({ database, clock: systemClock, log: silentLog })
  await bus.ensureGroup(subscription)
  for (let done = 0; done < waiting; done += loadSlice) {
    const slice = Math.min(loadSlice, waiting - done)
    await database.query(sql.messages, [slice])
    await database.query(sql.deliveries, [done, done + slice])
  }
  await database.query(sql.renew)
  // A server does this by itself some minutes after such a load.
  await database.query({ name: '', text: 'VACUUM (ANALYZE) guild_bus.messages, guild_bus.deliveries' })
}

async function hop(
  lab: Lab,
  { database }: Store,
  count: number,
  round: number,
): Promise<Sample<'publish' | 'consume' | 'perSecond'>> {
  await using bus = new PostgresBus({ database, clock: systemClock, log: silentLog })
  await bus.ensureGroup(subscription)
  const body = { text: 'x'.repeat(1_000) }
  const began = performance.now()
  let next = 0
  const publisher = async () => {
    while (next < count) {
      const from = next
      next = Math.min(count, next + 200)
      const serials = Array.from({ length: next - from }, (_, index) => from + index)
      await bus.publish(
        topic,
        serials.map((serial) => ({ id: `new${round}-${serial}`, priority: priorityOf(serial % 2), body })),
      )
    }
  }
  await Promise.all(Array.from({ length: 4 }, publisher))
  const published = performance.now()
  const stop = new AbortController()
  const late = setTimeout(() => stop.abort(), limitMs)
  let handled = 0
  await bus.consume(
    subscription,
    async (batch) => {
      handled += batch.filter(({ id }) => id.startsWith(`new${round}-`)).length
      if (handled >= count) stop.abort()
    },
    stop.signal,
  )
  clearTimeout(late)
  if (handled < count) throw new Error(`${handled} of ${count} messages in two minutes`)
  const ended = performance.now()
  lab.say(`    published in ${Math.round(published - began)} ms, consumed in ${Math.round(ended - published)} ms`)
  return {
    publish: (count / (published - began)) * 1_000,
    consume: (count / (ended - published)) * 1_000,
    perSecond: (count / (ended - began)) * 1_000,
  }
}
