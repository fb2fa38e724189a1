import { PostgresBus } from '../../src/bus/postgres/postgres-bus.ts'
import { priorityOf } from '../../src/bus/message-rules.ts'
import type { Bus } from '../../src/bus/bus.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLog } from '../../src/kernel/log.ts'
import type { StoreKind } from '../case.ts'
import type { Hop, OpenHop } from './hop.ts'

/** Ours, as components use it: priorities by lane, attempts counted, the log kept. */
export function guildHop(kind: StoreKind): Hop {
  return {
    name: kind === 'postgres' ? 'guild on PostgreSQL' : 'guild embedded',
    async open(lab, onHandled) {
      const store = await lab.store(kind)
      const bus = new PostgresBus({ database: store.database, clock: systemClock, log: silentLog })
      return drive(bus, onHandled, async () => store[Symbol.asyncDispose]())
    },
  }
}

/** A bus with one consumer as a queue of this benchmark; closes both. */
export async function drive(
  bus: Bus,
  onHandled: (count: number) => void,
  close: () => Promise<void>,
): Promise<OpenHop> {
  const stop = new AbortController()
  const subscription = { topic: 'bench', group: 'g', maxInFlight: 400, batchMax: 200 }
  await bus.ensureGroup(subscription)
  const consuming = bus.consume(subscription, async (batch) => onHandled(batch.length), stop.signal)
  return {
    publish: (messages) =>
      bus.publish(
        'bench',
        messages.map(({ id, lane, body }) => ({ id, priority: priorityOf(lane), body })),
      ),
    async [Symbol.asyncDispose]() {
      stop.abort()
      await consuming
      await bus.close()
      await close()
    },
  }
}
