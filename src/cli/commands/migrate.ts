import type { CommandModule } from '../main.ts'
import { paint } from '../print.ts'

export const migrateCommand: CommandModule = (program, context) => {
  program
    .command('migrate')
    .description('bring the database schema to this version; forward only, safe to repeat')
    .action(async () => {
      const { openDatabase } = await import('../../processes/open-database.ts')
      const { settings, show } = context()
      await using opened = await openDatabase(settings, { migrate: true })
      const { migrated } = opened
      const done = migrated.length > 0 ? `Applied ${migrated.join(', ')}.` : 'The schema was up to date.'
      show({ migrated, database: opened.db.kind }, () => paint.green(done))
    })
}
