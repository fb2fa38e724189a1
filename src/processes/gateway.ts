import type { FastifyPluginAsync } from 'fastify'
import type { Bus } from '../bus/bus.ts'
import type { Codex } from '../codex/snapshot.ts'
import type { Settings } from '../config/settings.ts'
import { gatewayRoutes } from '../gateway/routes.ts'
import type { Source } from '../gateway/source.ts'
import { github } from '../gateway/sources/github.ts'
import type { Metrics } from '../http/metrics.ts'
import { systemClock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { Tracer } from '../traces/tracer.ts'
import { variableOf } from '../llm/directory.ts'
import { webhookConnectors } from './connectors.ts'

/** Every webhook source of this version. */
const sources: readonly Source[] = [github]

export interface GatewayParts {
  readonly settings: Settings
  readonly env: Readonly<Record<string, string | undefined>>
  readonly bus: Bus
  readonly codex: Codex
  readonly log: Log
  readonly metrics: Metrics
  readonly tracer: Tracer
}

export function gateway({ settings, env, bus, codex, log, metrics, tracer }: GatewayParts): FastifyPluginAsync {
  return gatewayRoutes({
    sources,
    connectors: webhookConnectors(settings, variableOf(env), codex),
    bus,
    clock: systemClock,
    log,
    tracer,
    observe: ({ source, result, ms }) => {
      metrics.deliveries.inc({ source, status: result })
      metrics.deliverySeconds.observe({ source }, ms / 1_000)
    },
  })
}
