import { randomUUID } from 'node:crypto'
import type { GrantAnswer, Grants } from '../../http/rows.ts'
import { GuildError } from '../../kernel/errors.ts'
import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import { money, paint, table, when } from '../print.ts'

interface GrantOptions {
  readonly run?: string
  readonly agent?: string
  readonly chapter?: string
  readonly org?: boolean
  readonly tokens?: string
  readonly cost?: string
  readonly reason?: string
  readonly key?: string
}

/** `grant` and `grants`: what a person gives on top of a budget. */
export const grantCommands: CommandModule = (program, context) => {
  program
    .command('grant')
    .description('give a run more budget, and let it go on; or an agent, a chapter, everybody, for now')
    .option('--run <id>', 'a run; one that its budget has stopped goes on from its journal')
    .option('--agent <name>', 'an agent, for the running hour, day and month')
    .option('--chapter <name>', 'a chapter, for the running hour, day and month')
    .option('--org', 'the whole organisation, for the running hour, day and month')
    .option('--tokens <count>', 'how many tokens more')
    .option('--cost <usd>', 'how many US dollars more')
    .option('--reason <text>', 'why, for the audit trail')
    .option('--key <text>', 'the same key is the same grant: for scripts that try again')
    .addHelpText(
      'after',
      `
Examples:
  guild grants                                  what has stopped and waits for a grant
  guild grant --run inv_… --tokens 20000        that run goes on where it stood
  guild grant --chapter payments --cost 5       five dollars more until the periods end

A lasting change belongs in the Codex: spec.budget of policies/, chapters/ and limits.budget of agents/.`,
    )
    .action(async (options: GrantOptions) => {
      const { settings, show } = context()
      const body = {
        ...(options.run && { run: options.run }),
        ...(options.agent && { agent: options.agent }),
        ...(options.chapter && { chapter: options.chapter }),
        ...(options.org && { organisation: true }),
        ...(options.tokens && { tokens: numberOf('--tokens', options.tokens) }),
        ...(options.cost && { cost: numberOf('--cost', options.cost) }),
        ...(options.reason && { reason: options.reason }),
        key: options.key ?? randomUUID(),
      }
      await using client = await openClient(settings)
      const answer = await client.post<GrantAnswer>('/api/v1/budgets/grants', body)
      show(answer, () => given(answer))
    })
  program
    .command('grants')
    .description('runs that a budget has stopped, and what was granted')
    .action(async () => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const found = await client.get<Grants>('/api/v1/budgets/grants')
      show(found, () => human(found))
    })
}

function numberOf(option: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0) {
    throw new GuildError('GUILD_COMMAND_INVALID', { why: `${option} takes a number above 0, not “${text}”` })
  }
  return value
}

function given({ id, raised, resumed }: GrantAnswer): string {
  if (raised.length === 0) return `This grant had been given before; nothing changed.\n${paint.dim(id)}`
  const next = resumed ? `The run goes on from its journal: guild runs show ${resumed}` : 'guild budgets'
  return `Granted to ${raised.length === 1 ? 'one budget' : `${raised.length} budgets`}.\n${paint.dim(next)}`
}

function human({ waiting, given: rows }: Grants): string {
  const stopped =
    waiting.length === 0
      ? `No run has stopped at a budget in the last seven days.\n${paint.dim('When one does it stands here, and `guild grant --run <id> --tokens <count>` lets it go on.')}`
      : table(waiting, [
          { head: 'stopped', cell: (row) => when(row.finished_at) },
          { head: 'run', cell: (row) => row.id },
          { head: 'agent', cell: (row) => row.agent_id },
          { head: 'used', cell: (row) => money(row.cost_micros), align: 'right' },
          { head: 'why', cell: (row) => row.reason_detail ?? row.reason, flexible: true },
        ])
  if (rows.length === 0) return stopped
  const before = table(rows, [
    { head: 'granted', cell: (row) => when(row.at) },
    { head: 'budget', cell: (row) => `${row.entity_type} ${row.entity_id} ${row.limit_kind}`, flexible: true },
    { head: 'tokens', cell: (row) => row.tokens.toLocaleString('en'), align: 'right' },
    { head: 'cost', cell: (row) => money(row.cost_micros), align: 'right' },
    { head: 'by', cell: (row) => row.granted_by },
    { head: 'reason', cell: (row) => row.reason ?? '–' },
  ])
  return `${stopped}\n\n${before}`
}
