import { systemClock } from '../../src/kernel/clock.ts'
import { silentLog } from '../../src/kernel/log.ts'
import type { Bus } from '../../src/bus/bus.ts'
import { priorityOf } from '../../src/bus/message-rules.ts'
import { PostgresBus } from '../../src/bus/postgres/postgres-bus.ts'
import { RedisBus } from '../../src/bus/redis/redis-bus.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { Redis } from '../../src/redis/redis.ts'
import type { StoreKind } from '../case.ts'
import type { AppendFsync } from '../redis-server.ts'
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

export function guildOnRedis(appendfsync: AppendFsync): Hop {
  return {
    name: 'guild on Redis',
    async open(lab, onHandled) {
      const server = await lab.redis(appendfsync)
      if (server === null) throw new Error('no redis-server')
      await server.flush()
      const redis = await Redis.open({ url: new Secret(server.url), setting: 'REDIS_URL', log: silentLog })
      const bus = new RedisBus({ redis, clock: systemClock, log: silentLog })
      return drive(bus, onHandled, async () => redis.close())
    },
  }
}

/** As long as a real one. */
const topic = 'guild.events.agent.bench'

/** A bus with one consumer as a queue of this benchmark; closes both. */
async function drive(bus: Bus, onHandled: (count: number) => void, close: () => Promise<void>): Promise<OpenHop> {
  const stop = new AbortController()
  const subscription = { topic, group: 'g', maxInFlight: 400, batchMax: 200 }
  await bus.ensureGroup(subscription)
  const consuming = bus.consume(subscription, async (batch) => onHandled(batch.length), stop.signal)
  return {
    publish: (messages) =>
      bus.publish(
        topic,
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
