import type { Bus, GroupLag } from '../bus/bus.ts'
import type { Codex, CodexProblem } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { topics } from '../kernel/topics.ts'

export const statusSql = statements(import.meta.url, './status.sql', [
  'counts',
  'unbalancedReservations',
  'stuckRuns',
  'openBreakers',
])

/** What `GET /api/v1/status` answers. */
export interface Status {
  readonly version: string
  readonly since: string
  readonly roles: readonly string[]
  readonly database: string
  readonly bus: string
  readonly codex: {
    readonly url: string
    readonly commit: string
    readonly loadedAt: string
    readonly problems: { readonly commit: string; readonly problems: readonly CodexProblem[] } | null
  }
  readonly connectors: readonly { readonly name: string; readonly system: string; readonly live: boolean }[]
  readonly received: number
  readonly dispositions: Readonly<Record<string, number>>
  readonly runs: Readonly<Record<string, number>>
  readonly actions: Readonly<Record<string, number>>
  /** decisions that wait for a person */
  readonly desk: number
  readonly dead: number
  readonly lag: readonly GroupLag[]
}

export interface StatusDeps {
  readonly database: Database
  readonly bus: Bus
  readonly codex: Codex
  readonly about: Pick<Status, 'version' | 'since' | 'roles' | 'database' | 'bus'> & { readonly codexUrl: string }
  readonly isLive: (connector: string) => boolean
}

/** Three round trips, whatever there is. */
export async function readStatus({ database, bus, codex, about, isLive }: StatusDeps): Promise<Status> {
  const [counts, lag, dead] = await Promise.all([
    database.query<{ kind: string; label: string; count: number }>(statusSql.counts),
    bus.lag(),
    bus.count(topics.dead),
  ])
  const of = (kind: string) =>
    Object.fromEntries(counts.rows.filter((row) => row.kind === kind).map((row) => [row.label, row.count]))
  const dispositions = of('disposition')
  const snapshot = codex.current()
  const { codexUrl, ...rest } = about
  return {
    ...rest,
    codex: {
      url: codexUrl,
      commit: snapshot.commit,
      loadedAt: snapshot.loadedAt.toISOString(),
      problems: codex.problems(),
    },
    connectors: [...snapshot.connectors.entries()].map(([name, file]) => ({
      name,
      system: file.spec.system,
      live: isLive(name),
    })),
    received: sum(dispositions),
    dispositions,
    runs: of('run'),
    actions: of('action'),
    desk: sum(of('desk')),
    dead,
    lag,
  }
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}
