import type { ApprovalRow } from '../../http/rows.ts'
import type { Page } from '../../http/page.ts'
import { card } from '../commands/actions.ts'
import { paint, plural } from '../print.ts'
import type { TryParts } from './try-parts.ts'

/** The desk as the try leaves it: the newest proposal whole, and what to type. @returns what waits */
export async function showDesk({ client, say, home }: TryParts): Promise<readonly ApprovalRow[]> {
  const { items } = await client.get<Page<ApprovalRow>>('/api/v1/approvals?state=PENDING')
  const [newest] = items
  if (!newest) {
    say(paint.dim('\nNothing waits for you.'))
    return items
  }
  say(
    `\n${paint.bold('On your desk')}${items.length > 1 ? paint.dim(`, the newest of ${plural(items.length, 'proposal')}`) : ''}`,
  )
  say(card(newest, `guild --home ${home}`))
  say(paint.dim('\nShadow mode: approving renders and records the exact call; nothing is sent.'))
  return items
}
