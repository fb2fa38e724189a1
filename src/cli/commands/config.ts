import { effectiveSettings } from '../../config/settings.ts'
import type { CommandModule } from '../main.ts'
import { paint, table } from '../print.ts'

export const configCommand: CommandModule = (program, context) => {
  program
    .command('config')
    .description('every setting, its value and where it came from; secrets are not shown')
    .action(() => {
      const { env, show } = context()
      const rows = effectiveSettings(env)
      show(rows, () =>
        table(rows, [
          { head: 'setting', cell: (row) => row.env },
          { head: 'value', cell: (row) => row.shown || paint.dim('not set') },
          { head: 'from', cell: (row) => row.source },
          { head: 'what it does', cell: (row) => paint.dim(row.about), flexible: true },
        ]),
      )
    })
}
