import { z } from 'zod'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { rangeDropped } from './drop-range.ts'
import { chainHash, chainRowSchema, genesisHash, type ChainHead } from './chain.ts'

const sql = statements(import.meta.url, './verify.sql', ['page', 'anchors'])
const problemsMax = 100

export interface AuditProblem {
  readonly seq: number
  /**
   * `changed`: the row is not what was hashed · `missing`: there is no row with this number · `unlinked`: the row before is not the one
   * it was chained to (inserted, replaced or reordered) · `anchor`: the saved head is not in the chain (cut short or rewritten), or
   * rows are gone and the chain does not say that retention dropped them
   */
  readonly kind: 'changed' | 'missing' | 'unlinked' | 'anchor'
  readonly why: string
}

export interface AuditReport {
  readonly rows: number
  readonly head: ChainHead
  /** where it begins: 0, or the last row of what retention has dropped */
  readonly start: ChainHead
  /** in the order of the chain, the first 100 */
  readonly problems: readonly AuditProblem[]
}

export interface VerifyOptions {
  /** A head saved earlier, outside this database: only with it a chain cut at its end, or rewritten as a whole, is found. */
  readonly anchor?: ChainHead
  readonly onProgress?: (rows: number) => void
  readonly signal?: AbortSignal
}

/** Reads the whole chain, from where retention has left it, in pages and recomputes every hash. */
export async function verifyAudit(db: Queryable, options: VerifyOptions = {}): Promise<AuditReport> {
  const problems: AuditProblem[] = []
  const report = (problem: AuditProblem) => {
    if (problems.length < problemsMax) problems.push(problem)
  }
  const { anchor, onProgress, signal } = options
  const dropped = anchorRows.parse((await db.query(sql.anchors)).rows)
  const start = startOf(dropped, report)
  let rows = 0
  let head = start
  let startConfirmed = start.seq === 0
  let anchorHash = anchor?.seq === 0 ? genesisHash : dropped.find(({ seq }) => seq === anchor?.seq)?.hash
  let recorded = '-infinity'
  let cursor: readonly [number, string] = [-Number.MAX_SAFE_INTEGER, recorded]
  for (;;) {
    signal?.throwIfAborted()
    const page = pageSchema.parse((await db.query(sql.page, cursor)).rows)
    for (const row of page) {
      checkRow(head, row, report)
      if (recorded !== '-infinity' && row.recorded_at < recorded)
        report({ seq: row.seq, kind: 'unlinked', why: 'it lies among older rows, where retention would drop it early' })
      if (row.event_type === rangeDropped) startConfirmed ||= tellsOf(row.payload, start)
      head = { seq: row.seq, hash: row.hash }
      recorded = row.recorded_at
      cursor = [row.seq, recorded]
      if (row.seq === anchor?.seq) anchorHash = row.hash
    }
    rows += page.length
    onProgress?.(rows)
    if (page.length === 0) break
  }
  if (!startConfirmed)
    report({
      seq: start.seq,
      kind: 'anchor',
      why: `no row tells that retention dropped what is missing to ${start.seq}`,
    })
  if (anchor && anchorHash !== anchor.hash) report({ seq: anchor.seq, kind: 'anchor', why: whyNot(anchor, start) })
  return { rows, head, start, problems }
}

const anchorRows = z.array(z.object({ seq: z.int(), hash: z.string(), from_seq: z.int() }))

/** The end of what was dropped, if the anchors follow one another from the first row on. */
function startOf(dropped: z.infer<typeof anchorRows>, report: (problem: AuditProblem) => void): ChainHead {
  let start: ChainHead = { seq: 0, hash: genesisHash }
  for (const { seq, hash, from_seq } of dropped) {
    if (from_seq !== start.seq + 1)
      report({ seq: start.seq + 1, kind: 'missing', why: `no row ${start.seq + 1} to ${from_seq - 1}, and no anchor` })
    start = { seq, hash }
  }
  return start
}

function tellsOf(payload: unknown, { seq, hash }: ChainHead): boolean {
  const told = z.object({ to_seq: z.int(), hash: z.string() }).safeParse(payload)
  return told.success && told.data.to_seq === seq && told.data.hash === hash
}

function whyNot(anchor: ChainHead, start: ChainHead): string {
  const saved = `the saved head ${anchor.hash.slice(0, 12)}…`
  return anchor.seq < start.seq
    ? `${saved} lies in what retention has dropped: save a newer one`
    : `${saved} is not in the chain`
}

const pageSchema = z.array(chainRowSchema.extend({ hash: z.string(), recorded_at: z.string() }))
type StoredRow = z.infer<typeof pageSchema>[number]

function checkRow(before: ChainHead, stored: StoredRow, report: (problem: AuditProblem) => void): void {
  const { hash, recorded_at: _, ...row } = stored
  const { seq } = row
  const expected = before.seq + 1
  if (seq > expected) {
    const range = seq - 1 > expected ? `${expected} to ${seq - 1}` : String(expected)
    report({ seq: expected, kind: 'missing', why: `no row ${range}` })
  }
  if (seq < expected) report({ seq, kind: 'unlinked', why: 'it stands before the first row of the chain' })
  if (row.prev_hash !== before.hash) {
    const previous = before.seq === 0 ? 'the beginning' : `row ${before.seq}`
    report({ seq, kind: 'unlinked', why: `it was not chained to ${previous}` })
  }
  if (hash !== chainHash({ ...row, timestamp: row.timestamp.replace(/000Z$/, 'Z') }))
    report({ seq, kind: 'changed', why: `row ${row.id} is not what was hashed` })
}
