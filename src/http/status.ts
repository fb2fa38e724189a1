import type { Bus, GroupLag } from '../bus/bus.ts'
import type { Codex, CodexProblem } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { Counts } from './counts.ts'
import type { DoctorCheck } from './doctor.ts'
import { topics } from '../kernel/topics.ts'

export const statusSql = statements(import.meta.url, './status.sql', [
  'counts',
  'unbalancedReservations',
  'stuckRuns',
  'openBreakers',
  'quarantinedTools',
  'troubledProviders',
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
  /** model providers that are not asked at present; those that are sound are not listed */
  readonly providers: readonly TroubledProvider[]
  readonly received: number
  readonly dispositions: Readonly<Record<string, number>>
  readonly runs: Readonly<Record<string, number>>
  readonly actions: Readonly<Record<string, number>>
  /** decisions that wait for a person */
  readonly desk: number
  /** of them: runs that a budget has stopped within a day, and that a grant sets going again */
  readonly grants: number
  /** budgets of organisation, chapters and agents by the highest threshold passed in their running period: 75, 90, 95 */
  readonly budgetAlerts: Readonly<Record<string, number>>
  readonly dead: number
  readonly lag: readonly GroupLag[]
}

export interface TroubledProvider {
  readonly name: string
  /** CLOSED: it works and limits the rate */
  readonly state: 'OPEN' | 'HALF_OPEN' | 'CLOSED'
  readonly until: string | null
  readonly why: string | null
}

export interface StatusDeps {
  readonly database: Database
  readonly bus: Bus
  readonly codex: Codex
  readonly about: Pick<Status, 'version' | 'since' | 'roles' | 'database' | 'bus'> & { readonly codexUrl: string }
  readonly examineBus: () => Promise<Omit<DoctorCheck, 'name'>>
  readonly isLive: (connector: string) => boolean
}

/** Six round trips, whatever there is. */
export async function readStatus({ database, bus, codex, about, isLive }: StatusDeps): Promise<Status> {
  const [counted, counts, lag, dead, providers] = await Promise.all([
    new Counts(database).read(),
    database.query<{ kind: string; label: string; count: number }>(statusSql.counts),
    bus.lag(),
    bus.count(topics.dead),
    troubledProviders(database),
  ])
  const of = (kind: string) =>
    Object.fromEntries(counts.rows.filter((row) => row.kind === kind).map((row) => [row.label, row.count]))
  const dispositions = counted.disposition
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
    providers,
    received: sum(dispositions),
    dispositions,
    runs: counted.run,
    actions: counted.action,
    desk: sum(of('desk')),
    grants: of('desk')['grants'] ?? 0,
    budgetAlerts: of('budget'),
    dead,
    lag,
  }
}

export async function troubledProviders(database: Database): Promise<readonly TroubledProvider[]> {
  const { rows } = await database.query<Omit<TroubledProvider, 'until'> & { readonly until: Date | null }>(
    statusSql.troubledProviders,
  )
  return rows.map((row) => ({ ...row, until: row.until?.toISOString() ?? null }))
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}
