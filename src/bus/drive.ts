import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import type { Bus, Consumer } from './bus.ts'

/** Runs a consumer as a service of this process. */
export function driveConsumer(bus: Bus, { subscription, handle }: Consumer, log: Log): Service {
  const { topic, group } = subscription
  return {
    name: `consumer ${group}`,
    async run(signal) {
      log.debug({ topic, group }, 'consumer begins')
      await bus.consume(subscription, handle, signal)
      log.debug({ topic, group }, 'consumer has left')
    },
  }
}
