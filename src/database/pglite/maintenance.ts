/** What a server's autovacuum and checkpointer know about the database. */
export interface DatabaseHealth {
  /** bytes of write-ahead log since the last checkpoint: what a crash recovery would have to read */
  readonly walBytes: number
  readonly tables: readonly {
    /** quoted, with its schema */
    readonly name: string
    readonly live: number
    readonly dead: number
    /** rows changed since the last ANALYZE */
    readonly modified: number
  }[]
}

const walBytesMax = 64 * 1024 * 1024

/**
 * What to do now, one table at a time so that no statement waits long. A single-user PostgreSQL has neither autovacuum nor a
 * checkpointer: without this a queue's dead rows and the write-ahead log would grow until the process stops.
 * Thresholds are PostgreSQL's own: https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM
 */
export function maintenance({ walBytes, tables }: DatabaseHealth): readonly string[] {
  const work: string[] = []
  const bloated = tables.filter((table) => table.dead > 50 + 0.2 * table.live)
  const worst = bloated.toSorted((a, b) => b.dead / (b.live + 50) - a.dead / (a.live + 50))[0]
  const stale = tables.find((table) => table.modified > 50 + 0.1 * table.live)
  if (worst) work.push(`VACUUM (ANALYZE) ${worst.name}`)
  else if (stale) work.push(`ANALYZE ${stale.name}`)
  if (walBytes > walBytesMax) work.push('CHECKPOINT')
  return work
}
