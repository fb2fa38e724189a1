import { systemClock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { backoffMs } from '../kernel/backoff.ts'

const restart = { baseMs: 500, maxMs: 30_000 }

/**
 * Runs services side by side until `signal` aborts. One that fails is started again with back-off and never takes the others along;
 * `onDown` says so meanwhile, so that readiness can tell.
 */
export async function runServices(
  services: readonly Service[],
  signal: AbortSignal,
  log: Log,
  onDown: (name: string, reason: string) => void,
): Promise<void> {
  await Promise.all(services.map((service) => keepRunning(service, signal, log, onDown)))
}

async function keepRunning(
  service: Service,
  signal: AbortSignal,
  log: Log,
  onDown: (name: string, reason: string) => void,
): Promise<void> {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      await service.run(signal)
      return
    } catch (error) {
      if (signal.aborted) return
      onDown(service.name, reasonOf(error))
      log.error({ service: service.name, reason: reasonOf(error), err: error }, 'service failed and is started again')
      await systemClock.sleep(backoffMs(failures, restart, Math.random()), signal)
    }
  }
}
