import { GuildError } from '../../kernel/errors.ts'
import { type PeriodicRole, periodicRoles, type Role, roles, rolesToCome } from '../../processes/roles.ts'
import { refuseNonsense } from '../../processes/startup-checks.ts'
import type { CommandModule, Context } from '../main.ts'
import { version } from '../version.ts'
import { start } from './up.ts'

export const runCommand: CommandModule = (program, context) => {
  program
    .command('run <roles...>')
    .description('one of several processes: only these roles, on a database and a bus that all share')
    .option('--once', 'scheduler, registry, audit: do what is due now and end, for a cron job')
    .addHelpText('after', help)
    .action(async (names: string[], { once = false }: { once?: boolean }) => {
      const chosen = [...new Set(names.flatMap((name) => name.split(',').filter(Boolean)).flatMap(rolesOf))]
      refuseNonsense(context().settings, chosen)
      if (once) await runOnce(context(), chosen.map(periodic))
      else await start(context(), chosen, true)
    })
}

const help = `
Roles (any number of processes of each; a process may have several, separated by spaces or commas; all: every role):
  gateway      takes webhooks, serves the API and the console          scale by deliveries; behind a load balancer
  dispatcher   routes events to agents                                 1 or 2
  executor     runs agents: needs the keys of models                   scale by runs: 16 at a time each
  actions      writes to GitHub and others: needs their tokens         1 or 2; one call per target at a time, over all
  scheduler    fires schedules                                         1 or 2: no slot is fired twice
  registry     keeps the health of agents fresh                        1
  audit        writes the audit chain, cleans up                       1 or 2

Every process serves /healthz, /readyz and /metrics on PORT, and stops when a PORT that you set is taken.
They share DATABASE_URL (run guild migrate first) and EVENT_BUS_URL, and read the same CODEX_URL.
SIGTERM: /readyz says 503 (DRAIN_GRACE_MS), what is in flight settles or is handed to another process, exit code 0;
after DRAIN_MS exit code 1 with what was left. A second signal ends at once.

  guild migrate
  PORT=8080 guild run gateway
  PORT=8081 guild run executor actions
  PORT=8082 guild run dispatcher,scheduler,registry,audit

docs/deploy.md: one server, compose, many hosts. With a single process use guild up.`

function rolesOf(name: string): readonly Role[] {
  if (name === 'all') return roles
  const role = roles.find((known) => known === name)
  if (role) return [role]
  const why = (rolesToCome as readonly string[]).includes(name)
    ? `the role ${name} is not in this version`
    : `there is no role ${name}; roles are ${roles.join(', ')}, or all`
  throw new GuildError('GUILD_COMMAND_INVALID', { why })
}

function periodic(role: Role): PeriodicRole {
  const known = periodicRoles.find((one) => one === role)
  if (known) return known
  const why = `the role ${role} waits for work and has nothing to do once; --once is for ${periodicRoles.join(', ')}`
  throw new GuildError('GUILD_COMMAND_INVALID', { why })
}

async function runOnce({ settings, env, show }: Context, chosen: readonly PeriodicRole[]): Promise<void> {
  const { once } = await import('../../processes/once.ts')
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  const figures = await once({ settings, env, roles: chosen, version: version(), signal: stop.signal })
  show(figures, () =>
    Object.entries(figures)
      .map(([role, done]) => {
        const facts = Object.entries(done).map(([name, value]) => `${name} ${String(value)}`)
        return `${role}: done (${facts.join(', ')})`
      })
      .join('\n'),
  )
}
