import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { KeyRow } from '../../http/auth.ts'
import type { Page } from '../../http/page.ts'
import { paint, table, when } from '../print.ts'

export const keysCommand: CommandModule = (program, context) => {
  const keys = program
    .command('keys')
    .description('API keys: viewer reads, operator decides, admin manages')
    .action(async () => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const page = await client.get<Page<KeyRow>>('/api/v1/keys')
      show(page, () =>
        table(page.items, [
          { head: 'key', cell: (row) => row.id },
          { head: 'name', cell: (row) => row.name, flexible: true },
          { head: 'role', cell: (row) => row.role },
          { head: 'created', cell: (row) => when(row.created_at) },
          { head: 'last used', cell: (row) => when(row.last_used_at) },
          { head: '', cell: (row) => (row.revoked_at ? paint.red('revoked') : '') },
        ]),
      )
    })
  keys
    .command('create <name>')
    .description('make a key; it is shown once')
    .option('--role <role>', 'viewer, operator or admin', 'viewer')
    .action(async (name: string, options: { role: string }) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const made = await client.post<{ id: string; key: string }>('/api/v1/keys', { name, role: options.role })
      show(
        made,
        () => `${made.key}\n${paint.dim(`${made.id}, role ${options.role}. It is not stored and not shown again.`)}`,
      )
    })
  keys
    .command('revoke <id>')
    .description('make a key useless at once')
    .action(async (id: string) => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const done = await client.post<object>(`/api/v1/keys/${encodeURIComponent(id)}/revoke`)
      show(done, () => `${id} is revoked.`)
    })
}
