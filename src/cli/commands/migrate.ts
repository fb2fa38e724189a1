import { openDatabase } from '../../processes/open-database.ts'
import type { CommandModule } from '../main.ts'
import { paint } from '../print.ts'

export const migrateCommand: CommandModule = (program, context) => {
  program
    .command('migrate')
    .description('bring the database schema to this version; forward only, safe to repeat')
    .action(async () => {
      const { settings, show } = context()
      await using database = await openDatabase(settings, { migrate: true })
      show({ migrated: true, database: database.kind }, () => paint.green('The schema is up to date.'))
    })
}
