import { z } from 'zod'
import type { Consumer, Delivery, Nack } from '../bus/bus.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError, isGuildError, reasonOf } from '../kernel/errors.ts'
import { setOwn } from '../kernel/own.ts'
import type { Log } from '../kernel/log.ts'
import { topics } from '../kernel/topics.ts'
import type { Tracer } from '../traces/tracer.ts'
import { auditSpan } from './audit-span.ts'
import { chainHash, genesisHash, type ChainHead, type ChainRow } from './chain.ts'

const sql = statements(import.meta.url, './writer.sql', ['lockChain', 'headAndKnown', 'append'])
const batchMax = 200

export interface AuditWriterDeps {
  readonly db: Database
  readonly log: Log
  readonly tracer?: Tracer
}

/** Bad entries are set apart by the handler; a process that crashes in a loop must not bury the good ones it happened to hold. */
const attemptsMax = 1_000

/**
 * Eats `guild.audit.log` and appends it to the hash chain, one transaction per batch. A second delivery is a no-op. What is not an
 * entry, or cannot be stored, goes to the dead letters with its reason; it never holds up the others.
 */
export function auditWriter({ db, log, tracer }: AuditWriterDeps): Consumer {
  const appends = new GatheredAppends((entries) => appendAll(db, entries, tracer))
  return {
    subscription: { topic: topics.audit, group: 'audit', maxInFlight: batchMax, batchMax, attemptsMax },
    async handle(batch) {
      const { entries, refused } = sortOut(batch)
      const unstorable = await appends.add(entries)
      const dead = [...refused, ...unstorable]
      for (const { id, reason } of dead) log.error({ messageId: id, reason }, 'audit entry refused')
      return dead
    },
  }
}

/** A row of the chain before it has its place. */
export type Entry = Omit<ChainRow, 'seq' | 'prev_hash'>
interface Parsed {
  readonly messageId: string
  readonly entry: Entry
}

const optional = (max: number) =>
  z
    .string()
    .max(max)
    .nullish()
    .transform((value) => value ?? null)
const unlimited = z
  .string()
  .nullish()
  .transform((value) => value ?? null)

/** The limits are those of the columns. */
const entrySchema = z.object({
  id: z.string().min(1),
  timestamp: z.iso.datetime({ offset: true }).transform((value) => new Date(value).toISOString()),
  event_type: z.string().min(1).max(50),
  agent_id: optional(100),
  source_event_id: optional(100),
  action_type: optional(50),
  target_system: optional(50),
  payload: z.record(z.string(), z.unknown()),
  result: z
    .enum(['SUCCESS', 'FAILURE', 'RETRY'])
    .nullish()
    .transform((value) => value ?? null),
  error_message: unlimited,
  trace_id: unlimited,
  invocation_id: unlimited,
  action_id: unlimited,
  actor: z.string().min(1),
  codex_commit: unlimited,
  decision_id: unlimited,
})

function sortOut(batch: readonly Delivery[]): { entries: readonly Parsed[]; refused: readonly Nack[] } {
  const entries: Parsed[] = []
  const refused: Nack[] = []
  for (const { id, body } of batch) {
    const result = entrySchema.safeParse(storable(body))
    if (result.success) entries.push({ messageId: id, entry: result.data })
    else refused.push({ id, dead: true, reason: `not an audit entry: ${z.prettifyError(result.error)}` })
  }
  return { entries, refused }
}

type Append = (entries: readonly Parsed[]) => Promise<readonly Nack[]>

interface WaitingBatch {
  readonly entries: readonly Parsed[]
  readonly resolve: (nacks: readonly Nack[]) => void
  readonly reject: (error: unknown) => void
}

/** One writer at a time holds the chain: batches that come meanwhile are appended together, instead of each waiting for its lock. */
class GatheredAppends {
  readonly #append: Append
  #waiting: WaitingBatch[] = []
  #busy = false

  constructor(append: Append) {
    this.#append = append
  }

  /** @returns those of `entries` that the database refuses even alone */
  add(entries: readonly Parsed[]): Promise<readonly Nack[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Nack[]>()
    this.#waiting.push({ entries, resolve, reject })
    if (!this.#busy) void this.#turns()
    return promise
  }

  /** Never rejects. What is waiting is bounded by what the bus hands out. */
  async #turns(): Promise<void> {
    this.#busy = true
    while (this.#waiting.length > 0) {
      const batches = this.#waiting
      this.#waiting = []
      try {
        const nacks = await this.#append(batches.flatMap(({ entries }) => entries))
        const byId = new Map(nacks.map((nack) => [nack.id, nack]))
        for (const { entries, resolve } of batches)
          resolve(entries.flatMap(({ messageId }) => byId.get(messageId) ?? []))
      } catch (error) {
        for (const { reject } of batches) reject(error)
      }
    }
    this.#busy = false
  }
}

/** @returns those that the database refuses even alone */
async function appendAll(db: Database, parsed: readonly Parsed[], tracer?: Tracer): Promise<readonly Nack[]> {
  if (parsed.length === 0) return []
  try {
    await append(
      db,
      parsed.map(({ entry }) => entry),
    )
    if (tracer?.on) tracer.record(parsed.flatMap(({ entry }) => auditSpan(entry, Date.now()) ?? []))
    return []
  } catch (error) {
    const [only] = parsed
    if (!isGuildError(error, 'GUILD_DATABASE_REFUSED') || only === undefined) throw error
    if (parsed.length === 1) return [{ id: only.messageId, dead: true, reason: reasonOf(error) }]
    const nacks: Nack[] = []
    for (const one of parsed) nacks.push(...(await appendAll(db, [one], tracer)))
    return nacks
  }
}

const headRows = z.tuple([
  z.object({ seq: z.int().nullable(), hash: z.string().nullable(), known: z.array(z.string()) }),
])

async function append(db: Database, entries: readonly Entry[]): Promise<void> {
  await db.transaction((tx) => appendEntries(tx, entries))
}

/** Within a transaction, which holds the lock of the chain from here on. Entries whose id is in the chain are left out. */
export async function appendEntries(tx: Queryable, entries: readonly Entry[]): Promise<void> {
  const unique = new Map(entries.map((entry) => [entry.id, entry]))
  // In a statement of its own: the one that reads the head must begin after the writer before us has committed.
  await tx.query(sql.lockChain)
  const { rows } = await tx.query(sql.headAndKnown, [[...unique.keys()], oldestOf(entries)])
  const [{ seq, hash, known }] = headRows.parse(rows)
  const inChain = new Set(known)
  const fresh = [...unique.values()].filter((entry) => !inChain.has(entry.id))
  if (fresh.length === 0) return
  const chained = chain({ seq: seq ?? 0, hash: hash ?? genesisHash }, fresh)
  const { count } = await tx.query(sql.append, [JSON.stringify(chained)])
  if (count !== fresh.length) throw new GuildError('GUILD_INTERNAL', { why: `${count} of ${fresh.length} audit rows` })
}

function oldestOf(entries: readonly Entry[]): string {
  return entries.reduce((oldest, { timestamp }) => (timestamp < oldest ? timestamp : oldest), '9999')
}

/** Numbers and hashes `entries` from `head` on. */
function chain(head: ChainHead, entries: readonly Entry[]): readonly (ChainRow & { readonly hash: string })[] {
  let { seq, hash } = head
  return entries.map((entry) => {
    seq += 1
    const row = { ...entry, seq, prev_hash: hash }
    hash = chainHash(row)
    return { ...row, hash }
  })
}

/**
 * PostgreSQL's text has no U+0000 and no lone surrogates. They come from the outside (a tool's output in an error message), and an
 * audit row with a replacement character is better than none.
 */
function storable(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value)
  if (Array.isArray(value)) return value.map(storable)
  if (typeof value !== 'object' || value === null) return value
  const members: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    setOwn(members, storableText(key), storable((value as Readonly<Record<string, unknown>>)[key])) // a key of its own
  }
  return members
}

function storableText(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  return whole.includes('\u0000') ? whole.replaceAll('\u0000', '\uFFFD') : whole
}
