import type { CommandModule } from '../main.ts'
import { paint } from '../print.ts'

export const migrateCommand: CommandModule = (program, context) => {
  program
    .command('migrate')
    .description('bring the database schema to this version; forward only, safe to repeat')
    .addHelpText('after', '\nSeveral at once are safe. A server that is not up yet is waited for (STARTUP_WAIT_MS).')
    .action(async () => {
      const [{ openDatabase }, { openWhenUp }, { logger }] = await Promise.all([
        import('../../processes/open-database.ts'),
        import('../../processes/wait-for-store.ts'),
        import('../../processes/logger.ts'),
      ])
      const { settings, show } = context()
      const patience = { waitMs: settings.startupWaitMs, log: logger(settings) }
      await using opened = await openWhenUp('database', () => openDatabase(settings, { migrate: true }), patience)
      const { migrated } = opened
      const done = migrated.length > 0 ? `Applied ${migrated.join(', ')}.` : 'The schema was up to date.'
      show({ migrated, database: opened.db.kind }, () => paint.green(done))
    })
}
