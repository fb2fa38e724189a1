import { z } from 'zod'
import { dataClasses } from '../kernel/data-class.ts'
import { type GuildEvent, type Handoff, integrities, priorities } from '../kernel/event.ts'
import type { JsonObject } from '../kernel/json.ts'

const name = z.string().min(1).max(100)
const id = z.string().min(1).max(200)
const text = z.string().max(2_000)
const time = z.iso.datetime({ offset: true })
// The gateway parsed the body as JSON and the bus carried it as JSON: what is left to check is that it is an object.
const payload = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'an object',
)

/** As the row of the run that takes the work keeps it. */
export const handoffSchema: z.ZodType<Handoff> = z.object({
  to: name,
  from: name,
  depth: z.int().min(1).max(100),
  autonomy: z.int().min(0).max(3),
  confidentiality: z.enum(dataClasses),
  tokens: z.int().min(0),
  cost_micros: z.int().min(0),
})

/** What the dispatcher accepts from `guild.events.inbound`: the public message schema, bounded to what its tables hold. */
export const eventSchema: z.ZodType<GuildEvent> = z.object({
  id,
  timestamp: time,
  type: name,
  source: name,
  payload,
  metadata: z.object({
    schema_version: z.literal(1),
    trace_id: z.string().regex(/^[0-9a-f]{32}$/, '32 hex digits'),
    priority: z.enum(priorities),
    occurred_at: time,
    received_at: time,
    delivery_id: text.min(1),
    receipt_id: id,
    dedup_key: text.min(1),
    body_hash: id.nullable(),
    subject: z.object({ kind: name, id: text, url: text.nullable() }),
    actor: z.object({
      kind: z.enum(['user', 'bot', 'system']),
      id: text,
      display: text,
      integrity: z.enum(integrities),
    }),
    correlation_id: text.nullable(),
    origin: z.enum(['webhook', 'poll', 'reconcile', 'manual', 'schedule', 'handoff']),
    connector: name,
    chapter: name.nullable(),
    self: z.boolean(),
    marker: id.nullable(),
    causal: z.object({ root: id, depth: z.int().min(0).max(1_000), parent: id.nullable() }),
    handoff: handoffSchema.optional(),
  }),
})

/** The little that a message which is no event may still tell, for its receipt. */
export const remnantSchema = z.object({
  id: id.catch(''),
  source: name.catch(''),
  metadata: z
    .object({ receipt_id: id.catch(''), delivery_id: text.catch('') })
    .catch({ receipt_id: '', delivery_id: '' }),
})
