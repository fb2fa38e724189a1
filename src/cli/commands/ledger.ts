import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { BudgetRow, LedgerReport } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { money, paint, table, when } from '../print.ts'

export const budgetsCommand: CommandModule = (program, context) => {
  program
    .command('budgets')
    .description('limits, what is spent and reserved, how fast, and when it runs out')
    .action(async () => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<BudgetRow>>('/api/v1/budgets')
      show(page, () => human(page.items))
    })
}

export const ledgerCommand: CommandModule = (program, context) => {
  const ledger = program.command('ledger').description('the token ledger')
  ledger
    .command('verify')
    .description('prove that every sum adds up: consumed = usage, reserved = open reservations')
    .action(async () => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const report = await client.get<LedgerReport>('/api/v1/ledger/verify')
      show(report, () => (report.ok ? paint.green('The ledger balances.') : paint.red(report.problems.join('\n'))))
      if (!report.ok) process.exitCode = 1
    })
}

/** What limits it: tokens, else money. */
function burn(row: BudgetRow): string {
  if (row.budget_tokens !== null || row.cost_limit_micros === null) return row.burn_tokens_per_hour.toLocaleString('en')
  return money(row.burn_cost_micros_per_hour)
}

function level({ level: name, degradations }: BudgetRow): string {
  const text = degradations.length > 0 && name !== 'green' ? `${name}: ${degradations.join(', ')}` : name
  if (name === 'green') return paint.green(text)
  return name === 'yellow' || name === 'orange' ? paint.yellow(text) : paint.red(text)
}

function human(rows: readonly BudgetRow[]): string {
  if (rows.length === 0) {
    return `No budget has been touched yet.\n${paint.dim('Limits stand in policies/ and chapters/ of the Codex; a row appears with the first model call. Rules cost nothing.')}`
  }
  const limit = (value: number | null) => (value === null ? '–' : value.toLocaleString('en'))
  return table(rows, [
    { head: 'budget', cell: (row) => `${row.entity_type} ${row.entity_id}`, flexible: true },
    { head: 'per', cell: (row) => row.limit_kind },
    { head: 'until', cell: (row) => (row.limit_kind === 'run' ? '–' : when(row.period_end)) },
    { head: 'tokens', cell: (row) => row.consumed_tokens.toLocaleString('en'), align: 'right' },
    { head: 'reserved', cell: (row) => row.reserved_tokens.toLocaleString('en'), align: 'right' },
    { head: 'limit', cell: (row) => limit(row.budget_tokens), align: 'right' },
    { head: 'cost', cell: (row) => money(row.consumed_cost_micros), align: 'right' },
    {
      head: 'limit',
      cell: (row) => (row.cost_limit_micros === null ? '–' : money(row.cost_limit_micros)),
      align: 'right',
    },
    { head: 'per hour', cell: burn, align: 'right' },
    { head: 'runs out', cell: (row) => (row.exhausted_at === null ? '–' : when(row.exhausted_at)) },
    { head: 'level', cell: level },
  ])
}
