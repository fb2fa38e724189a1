import { verifyLedger } from '../ledger/verify-ledger.ts'
import { reconcile } from '../dispatcher/reconcile.ts'
import { unpinnedTools } from '../codex/tool-use.ts'
import { reasonOf } from '../kernel/errors.ts'
import { checkCounts } from './counts.ts'
import { checkPartitions, checkSweepers } from './sweeps.ts'
import { statusSql, type StatusDeps, troubledProviders } from './status.ts'

export interface DoctorCheck {
  readonly name: string
  readonly verdict: 'ok' | 'warning' | 'problem'
  readonly finding: string
  readonly fix: string | null
}

export interface DoctorReport {
  readonly ok: boolean
  readonly checks: readonly DoctorCheck[]
}

type Check = (deps: StatusDeps) => Promise<Omit<DoctorCheck, 'name'>>

/** Everything that can be proved from records. A check that cannot be made is a problem, not a pass. */
export async function examine(deps: StatusDeps): Promise<DoctorReport> {
  const results: DoctorCheck[] = []
  for (const [name, check] of Object.entries(checks)) {
    try {
      results.push({ name, ...(await check(deps)) })
    } catch (error) {
      results.push({ name, verdict: 'problem', finding: `could not be checked: ${reasonOf(error)}`, fix: null })
    }
  }
  return { ok: results.every((result) => result.verdict !== 'problem'), checks: results }
}

const checks: Readonly<Record<string, Check>> = {
  async events({ database }) {
    const { received, dispositions, difference } = await reconcile(database)
    const kinds = Object.entries(dispositions).map(([name, count]) => `${count} ${name}`)
    const finding = `received ${received} = ${kinds.join(' + ') || '0'}`
    if (difference === 0) return ok(finding)
    return {
      verdict: 'problem',
      finding: `${finding}: ${difference} without a disposition`,
      fix: 'Report this with the output of `guild events --json`.',
    }
  },
  counts: ({ database }) => checkCounts(database),
  async ledger({ database }) {
    const { ok: balanced, problems } = await verifyLedger(database)
    return balanced
      ? ok('the sums add up')
      : {
          verdict: 'problem',
          finding: problems.join('; '),
          fix: 'Run `guild ledger verify` and report the rows it names.',
        }
  },
  async reservations({ database }) {
    const { rows } = await database.query<{ count: number }>(statusSql.unbalancedReservations)
    const count = rows[0]?.count ?? 0
    return count === 0
      ? ok('none left behind')
      : {
          verdict: 'warning',
          finding: `${count} expired and still open`,
          fix: 'An executor must run to settle them: `guild up` or `guild run executor`.',
        }
  },
  async runs({ database }) {
    const { rows } = await database.query<{ count: number }>(statusSql.stuckRuns)
    const count = rows[0]?.count ?? 0
    return count === 0
      ? ok('none is stuck')
      : {
          verdict: 'problem',
          finding: `${count} wait for an executor for minutes`,
          fix: 'Start one: `guild up` or `guild run executor`.',
        }
  },
  async connectors({ database }) {
    const { rows } = await database.query<{ name: string; last_error: string | null }>(statusSql.openBreakers)
    if (rows.length === 0) return ok('all breakers are closed')
    return {
      verdict: 'warning',
      finding: rows.map((row) => `${row.name} is cut off: ${row.last_error ?? 'unknown'}`).join('; '),
      fix: 'It is tried again by itself; see `guild actions --state RETRY`.',
    }
  },
  async providers({ database }) {
    const troubled = await troubledProviders(database)
    if (troubled.length === 0) return ok('none is cut off')
    const told = troubled.map(({ name, state, until, why }) => {
      const trouble = state === 'CLOSED' ? 'limits the rate' : state === 'OPEN' ? 'is cut off' : 'is being tried'
      return `${name} ${trouble}${until ? ` until ${until}` : ''}: ${why ?? 'unknown'}`
    })
    return {
      verdict: 'warning',
      finding: told.join('; '),
      fix: 'It is tried again by itself; runs take the next model in `prefer`, or wait: `guild runs --state WAITING_RATE`.',
    }
  },
  async tools({ database, codex }) {
    const snapshot = codex.current()
    const { rows } = await database.query<{ reason: string }>(statusSql.quarantinedTools, [snapshot.commit])
    const unpinned = unpinnedTools(snapshot).map((tool) => `the tool ${tool} is used by agents and not pinned`)
    const findings = [...new Set([...rows.map(({ reason }) => reason), ...unpinned])]
    if (findings.length === 0) return ok('every tool is as it was pinned')
    return {
      verdict: 'warning',
      finding: findings.slice(0, 10).join('; '),
      fix: 'See what changed with `guild codex lock --check`; `guild codex lock` pins it, for a person to read and merge.',
    }
  },
  async codex({ codex }) {
    const problems = codex.problems()
    if (!problems) return ok(`${codex.current().commit.slice(0, 12)} is valid and serves`)
    const errors = problems.problems.filter((one) => one.severity === 'error').slice(0, 5)
    return {
      verdict: 'problem',
      finding: `commit ${problems.commit.slice(0, 12)} is not valid${errors.map((one) => `; ${one.file}:${one.line} ${one.message}`).join('')}`,
      fix: 'Run `guild codex lint`, fix it and commit; the last good commit serves meanwhile.',
    }
  },
  bus: ({ examineBus }) => examineBus(),
  sweepers: ({ database }) => checkSweepers(database),
  partitions: ({ database }) => checkPartitions(database),
  async 'dead letters'({ bus }) {
    const count = await bus.count('guild.dead')
    return count === 0 ? ok('none') : { verdict: 'warning', finding: `${count} kept`, fix: 'See `guild dead`.' }
  },
}

function ok(finding: string): Omit<DoctorCheck, 'name'> {
  return { verdict: 'ok', finding, fix: null }
}
