import { createHash } from 'node:crypto'

/**
 * W3C span ids (16 hex digits) computed from the ids of what the span tells of. Whoever comes later, in whatever process, knows the id
 * of its parent without being told, and telling twice is telling the same span.
 */
export const spanIds = {
  /** A delivery may hold several events; they share its trace. */
  receive: (traceId: string) => spanId('receive', traceId),
  dispatch: (eventId: string) => spanId('dispatch', eventId),
  /** A second reception of an event that is known. */
  duplicate: (receiptId: string) => spanId('duplicate', receiptId),
  run: (invocationId: string) => spanId('run', invocationId),
  step: (invocationId: string, seq: number, attempt: number) => spanId('step', invocationId, seq, attempt),
  /** Proposed in a run; its calls are children. */
  action: (actionId: string) => spanId('action', actionId),
  move: (actionId: string, epoch: number, from: string) => spanId('move', actionId, epoch, from),
  confirm: (actionId: string) => spanId('confirm', actionId),
  audit: (entryId: string) => spanId('audit', entryId),
} as const

function spanId(...parts: readonly (string | number)[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16)
}
