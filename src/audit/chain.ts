import { z } from 'zod'
import { canonicalHash } from '../kernel/canonical.ts'

/** `prev_hash` of the first row. */
export const genesisHash = '0'.repeat(64)

const nullableText = z.string().nullable()

/** A row of `guild_audit.audit_log` as it is hashed: every column but `hash`. A column added later is not part of it. */
export const chainRowSchema = z.object({
  seq: z.int(),
  id: z.string(),
  /** UTC with milliseconds; with microseconds only if somebody put them there */
  timestamp: z.string(),
  event_type: z.string(),
  agent_id: nullableText,
  source_event_id: nullableText,
  action_type: nullableText,
  target_system: nullableText,
  payload: z.unknown(),
  result: nullableText,
  error_message: nullableText,
  trace_id: nullableText,
  invocation_id: nullableText,
  action_id: nullableText,
  actor: z.string(),
  codex_commit: nullableText,
  decision_id: nullableText,
  prev_hash: z.string(),
})
export type ChainRow = z.infer<typeof chainRowSchema>

/** The last row of a chain; save it elsewhere and a chain cut short or rewritten as a whole is found too. */
export interface ChainHead {
  /** 0: the chain is empty */
  readonly seq: number
  readonly hash: string
}

/** SHA-256 of the canonical JSON of the row, which holds the hash of the row before. */
export function chainHash(row: ChainRow): string {
  return canonicalHash(row)
}
