import { GuildError } from '../../kernel/errors.ts'
import { type Role, roles, rolesToCome } from '../../processes/roles.ts'
import type { CommandModule } from '../main.ts'
import { start } from './up.ts'

export const runCommand: CommandModule = (program, context) => {
  program
    .command('run <roles...>')
    .description(`run some roles in this process: ${roles.join(', ')}`)
    .addHelpText(
      'after',
      '\nSeveral processes need a database of their own: set DATABASE_URL. With one process use `guild up`.',
    )
    .action(async (names: string[]) => {
      const chosen = names.map(roleOf)
      const { settings } = context()
      const apart = roles.some((role) => !chosen.includes(role))
      if (apart && !settings.databaseUrl) throw new GuildError('GUILD_ROLES_NEED_SERVER', { roles: chosen.join(', ') })
      await start(context(), chosen)
    })
}

function roleOf(name: string): Role {
  const role = roles.find((known) => known === name)
  if (role) return role
  const why = (rolesToCome as readonly string[]).includes(name)
    ? `the role ${name} is not in this version`
    : `there is no role ${name}; roles are ${roles.join(', ')}`
  throw new GuildError('GUILD_COMMAND_INVALID', { why })
}
