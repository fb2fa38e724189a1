import { systemClock } from '../kernel/clock.ts'
import { reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Service } from '../kernel/service.ts'
import { backoffMs } from '../kernel/backoff.ts'

const restart = { baseMs: 500, maxMs: 30_000 }
/** One that has run for so long was well: its next failure is a first one. */
const wellAfterMs = 60_000

/** Which services are down at this moment, and which have not ended yet. */
export class Health {
  readonly #down = new Set<Service>()
  readonly #running = new Set<Service>()

  problems(): readonly string[] {
    // Without the reason: anybody may ask for readiness. It stands in the log.
    return [...this.#down].map(({ name }) => `service ${name}: it has stopped and is started again; see the log`)
  }

  down(service: Service): void {
    this.#down.add(service)
  }

  up(service: Service): void {
    this.#down.delete(service)
    this.#running.add(service)
  }

  ended(service: Service): void {
    this.#running.delete(service)
  }

  /** names of those that run */
  running(): readonly string[] {
    return [...this.#running].map(({ name }) => name)
  }
}

/**
 * Runs services side by side until `signal` aborts. One that fails, or ends untold, is started again with back-off and never takes the
 * others along; `health` says so meanwhile, so that readiness can tell.
 */
export async function runServices(
  services: readonly Service[],
  signal: AbortSignal,
  log: Log,
  health: Health,
): Promise<void> {
  await Promise.all(services.map((service) => keepRunning(service, signal, log, health)))
}

async function keepRunning(service: Service, signal: AbortSignal, log: Log, health: Health): Promise<void> {
  for (let failures = 1; !signal.aborted; failures += 1) {
    const began = performance.now()
    health.up(service)
    const error = await failureOf(service, signal)
    health.ended(service)
    if (signal.aborted) return
    const reason = error === null ? 'it ended by itself' : reasonOf(error)
    if (performance.now() - began > wellAfterMs) failures = 1
    health.down(service)
    log.error({ service: service.name, reason, err: error }, 'service failed and is started again')
    await systemClock.sleep(backoffMs(failures, restart, Math.random()), signal)
  }
}

async function failureOf(service: Service, signal: AbortSignal): Promise<unknown> {
  try {
    await service.run(signal)
    return null
  } catch (error) {
    return error
  }
}
