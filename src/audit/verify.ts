import { z } from 'zod'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { chainHash, chainRowSchema, genesisHash, type ChainHead } from './chain.ts'

const sql = statements(import.meta.url, './verify.sql', ['page'])
const problemsMax = 100

export interface AuditProblem {
  readonly seq: number
  /**
   * `changed`: the row is not what was hashed · `missing`: there is no row with this number · `unlinked`: the row before is not the one
   * it was chained to (inserted, replaced or reordered) · `anchor`: the saved head is not in the chain (cut short or rewritten)
   */
  readonly kind: 'changed' | 'missing' | 'unlinked' | 'anchor'
  readonly why: string
}

export interface AuditReport {
  readonly rows: number
  readonly head: ChainHead
  /** in the order of the chain, the first 100 */
  readonly problems: readonly AuditProblem[]
}

export interface VerifyOptions {
  /** A head saved earlier, outside this database: only with it a chain cut at its end, or rewritten as a whole, is found. */
  readonly anchor?: ChainHead
  readonly onProgress?: (rows: number) => void
  readonly signal?: AbortSignal
}

/** Reads the whole chain in pages and recomputes every hash. */
export async function verifyAudit(db: Queryable, options: VerifyOptions = {}): Promise<AuditReport> {
  const problems: AuditProblem[] = []
  const report = (problem: AuditProblem) => {
    if (problems.length < problemsMax) problems.push(problem)
  }
  let rows = 0
  let head: ChainHead = { seq: 0, hash: genesisHash }
  const { anchor, onProgress, signal } = options
  let anchorHash = anchor?.seq === 0 ? genesisHash : undefined
  for (let last = -Number.MAX_SAFE_INTEGER; ; last = head.seq) {
    signal?.throwIfAborted()
    const page = pageSchema.parse((await db.query(sql.page, [last])).rows)
    for (const row of page) {
      checkRow(head, row, report)
      head = { seq: row.seq, hash: row.hash }
      if (row.seq === anchor?.seq) anchorHash = row.hash
    }
    rows += page.length
    onProgress?.(rows)
    if (page.length === 0) break
  }
  if (anchor && anchorHash !== anchor.hash)
    report({ seq: anchor.seq, kind: 'anchor', why: `the saved head ${anchor.hash.slice(0, 12)}… is not in the chain` })
  return { rows, head, problems }
}

const pageSchema = z.array(chainRowSchema.extend({ hash: z.string() }))
type StoredRow = z.infer<typeof pageSchema>[number]

function checkRow(before: ChainHead, stored: StoredRow, report: (problem: AuditProblem) => void): void {
  const { hash, ...row } = stored
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
