import type { SpanLink } from './tracer.ts'

const shape = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/

/**
 * A sender's `traceparent`. No signature covers it, so it becomes a link beside our own trace and never our parent: whoever could set a
 * parent could hang our spans below anything. @returns null when it is absent or not valid. https://www.w3.org/TR/trace-context/
 */
export function linkFrom(traceparent: string | undefined): SpanLink | null {
  const [, version = 'ff', traceId = '', spanId = '', more] = shape.exec(traceparent ?? '') ?? []
  // Version 00 has exactly four fields; ff is forbidden; all zeros mean none.
  if (version === 'ff' || (version === '00' && more !== undefined)) return null
  return /^0+$/.test(traceId) || /^0+$/.test(spanId) ? null : { traceId, spanId }
}

/** The header that lets a server continue our trace. */
export function traceparent({ traceId, spanId }: SpanLink): string {
  return `00-${traceId}-${spanId}-01`
}
