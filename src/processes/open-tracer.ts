import type { Settings } from '../config/settings.ts'
import type { Log } from '../kernel/log.ts'
import { OtlpTracer } from '../traces/otlp-tracer.ts'

/** null: no collector is named, and nothing is traced. */
export function openTracer(
  settings: Settings,
  told: { readonly version: string; readonly instance: string; readonly log: Log },
): OtlpTracer | null {
  const { otlpEndpoint, otlpTracesEndpoint, otlpHeaders, otlpTracesHeaders, otelServiceName: serviceName } = settings
  // The general endpoint is a base, the one of traces is the whole address (OpenTelemetry: OTLP exporter configuration).
  const url = otlpTracesEndpoint ?? (otlpEndpoint && `${otlpEndpoint.replace(/\/+$/, '')}/v1/traces`)
  return url ? new OtlpTracer({ url, headers: otlpTracesHeaders ?? otlpHeaders, serviceName, ...told }) : null
}
