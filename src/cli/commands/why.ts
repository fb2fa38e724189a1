import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { StoryRow } from '../../http/rows.ts'
import { story } from '../story.ts'

export const whyCommand: CommandModule = (program, context) => {
  program
    .command('why <id>')
    .description('why something happened, or why nothing did: from records alone, no model asked')
    .addHelpText('after', '\nTakes the id of an event, run, action or reception, or GitHub’s delivery GUID.')
    .action(async (id: string) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const found = await client.get<StoryRow>(`/api/v1/why/${encodeURIComponent(id)}`)
      show(found, () => story(found))
    })
}
