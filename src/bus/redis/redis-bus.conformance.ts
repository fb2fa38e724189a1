import { type Clock, systemClock } from '../../kernel/clock.ts'
import { GuildError } from '../../kernel/errors.ts'
import { silentLog } from '../../kernel/log.ts'
import type { Redis, RedisCommands } from '../../redis/redis.ts'
import type { BusHarness } from '../conformance-kit.ts'
import { RedisBus } from './redis-bus.ts'

/** RedisBus on a server or a cluster. */
export function redisHarness(redis: Redis): BusHarness {
  const open = (clock: Clock, on: RedisCommands) =>
    new RedisBus({ redis: on, clock, log: silentLog, time: clock === systemClock ? 'server' : 'clock' })
  return {
    open: (clock) => open(clock, redis),
    openFragile(clock) {
      const { fragile, setReachable } = breakable(redis)
      return { bus: open(clock, fragile), setReachable }
    },
    close: () => redis.close(),
  }
}

/** The same server over a connection that can be cut. */
function breakable(redis: RedisCommands) {
  let reachable = true
  const reach = () => {
    if (!reachable) throw new GuildError('GUILD_REDIS_UNAVAILABLE', { why: 'the test cut the connection' })
  }
  const fragile: RedisCommands = {
    async command(key, args) {
      reach()
      return redis.command(key, args)
    },
    async run(script, keys, args) {
      reach()
      return redis.run(script, keys, args)
    },
    listen: (channel, onMessage, onGap) => redis.listen(channel, onMessage, onGap),
  }
  return {
    fragile,
    setReachable: (next: boolean) => {
      reachable = next
    },
  }
}
