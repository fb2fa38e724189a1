import type { Delivery } from '../bus/bus.ts'
import type { Outbox } from '../bus/outbox.ts'
import { auditMessage } from '../audit/audit.ts'
import { recordDecisions } from '../audit/decisions.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import { hashId } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import { remnantSchema } from './event-schema.ts'

const sql = statements(import.meta.url, './unreadable.sql', ['buryReceipts'])

export interface Unreadable {
  readonly delivery: Delivery
  readonly reason: string
}

/** The disposition DEAD for messages that are no events, or that the database refuses again and again: receipt, decision and audit entry. The bus keeps the body as a dead letter. */
export async function bury(
  tx: Queryable,
  { outbox, clock, log }: { readonly outbox: Pick<Outbox, 'add'>; readonly clock: Clock; readonly log: Log },
  unreadable: readonly Unreadable[],
): Promise<void> {
  const at = clock.now().toISOString()
  const receipts = unreadable.map(({ delivery, reason }) => {
    const { id, source, metadata } = remnant(delivery.body)
    const receiptId = storable(metadata.receipt_id) || hashId('rcv', delivery.topic, delivery.id)
    return {
      id: receiptId,
      event_id: storable(id) || receiptId,
      source: storable(source) || 'unknown',
      delivery_id: storable(metadata.delivery_id) || delivery.id,
      received_at: delivery.publishedAt.toISOString(),
      reason: storable(reason),
    }
  })
  const { rows } = await tx.query<{ id: string }>(sql.buryReceipts, [JSON.stringify(receipts)])
  const written = new Set(rows.map((row) => row.id))
  const buried = receipts.filter((receipt) => written.has(receipt.id))
  if (buried.length === 0) return
  await recordDecisions(
    tx,
    buried.map((receipt) => ({
      at,
      stage: 'dispatch',
      outcome: 'DEAD',
      event_id: receipt.event_id,
      receipt_id: receipt.id,
      reason: receipt.reason,
    })),
  )
  const entries = buried.map((receipt) => ({
    id: hashId('aud', 'EVENT_DECIDED', receipt.id),
    timestamp: at,
    event_type: 'EVENT_DECIDED',
    source_event_id: receipt.event_id.slice(0, 100),
    payload: { source: receipt.source, receipt_id: receipt.id, disposition: 'DEAD', reason: receipt.reason },
    result: 'FAILURE' as const,
    error_message: receipt.reason,
    actor: 'system:dispatcher',
  }))
  await outbox.add(
    tx,
    topics.audit,
    entries.map((entry) => auditMessage(entry)),
  )
  for (const { id, reason } of buried) log.warn({ receiptId: id, reason }, 'message is no event, kept as a dead letter')
}

function remnant(body: unknown): { id: string; source: string; metadata: { receipt_id: string; delivery_id: string } } {
  const parsed = remnantSchema.safeParse(body)
  if (!parsed.success) return { id: '', source: '', metadata: { receipt_id: '', delivery_id: '' } }
  const { id, source, metadata } = parsed.data
  return { id, source, metadata }
}

/** Such text may be why the database refused the event. */
function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD').toWellFormed()
}
