import { z } from 'zod'
import { GuildError } from '../../kernel/errors.ts'
import type { StoryRow } from '../../http/rows.ts'
import { paint } from '../print.ts'
import { story } from '../story.ts'
import { showDesk } from './show-desk.ts'
import type { TryParts } from './try-parts.ts'

const bodySchema = z.record(z.string(), z.unknown())
const settleMs = 180_000

/** One saved webhook body through the whole line. @returns the stories of its events */
export async function tryPayload(
  parts: TryParts,
  payload: unknown,
  named: string | undefined,
): Promise<readonly StoryRow[]> {
  const body = bodySchema.safeParse(payload)
  if (!body.success)
    throw new GuildError('GUILD_COMMAND_INVALID', { why: 'the file holds no JSON object, as every webhook body is' })
  const event = named ?? eventOf(body.data)
  if (!event)
    throw new GuildError('GUILD_COMMAND_INVALID', {
      why: 'the body does not tell which GitHub event it is: name it with --event, e.g. --event pull_request',
    })
  const { rehearsal, client, say } = parts
  rehearsal.sandbox.github.seedFromWebhook(body.data)
  const answer = await rehearsal.send(event, body.data)
  const { event_ids: ids = [], error } = answer.body as { event_ids?: readonly string[]; error?: { message: string } }
  say(`gateway  ${answer.status}  ${event}, signed as GitHub signs${error ? `: ${error.message}` : ''}`)
  await rehearsal.settled(ids.length, settleMs)
  const stories: StoryRow[] = []
  for (const id of ids) {
    const found = await client.get<StoryRow>(`/api/v1/why/${id}`)
    stories.push(found)
    say(`\n${story(found)}`)
  }
  if (ids.length === 0) say(paint.yellow('It led to no event.'))
  await showDesk(parts)
  return stories
}

/** GitHub names the event in a header that a saved body lacks; most bodies have one member that tells. */
function eventOf(body: Readonly<Record<string, unknown>>): string | null {
  const has = (name: string) => typeof body[name] === 'object' && body[name] !== null
  if (has('review')) return 'pull_request_review'
  if (has('comment') && has('issue')) return 'issue_comment'
  if (has('comment') && has('pull_request')) return 'pull_request_review_comment'
  if (has('pull_request')) return 'pull_request'
  if (has('issue')) return 'issues'
  if (has('alert')) return alertOf(body['alert'] as Readonly<Record<string, unknown>>) // checked by `has`
  for (const name of [
    'workflow_run',
    'workflow_job',
    'check_run',
    'check_suite',
    'release',
    'deployment_status',
    'merge_group',
    'security_advisory',
  ]) {
    if (has(name)) return name
  }
  if ('commits' in body && 'before' in body) return 'push'
  if ('ref_type' in body) return 'pusher_type' in body && 'master_branch' in body ? 'create' : 'delete'
  return null
}

function alertOf(alert: Readonly<Record<string, unknown>>): string {
  if ('secret_type' in alert) return 'secret_scanning_alert'
  return 'security_advisory' in alert ? 'dependabot_alert' : 'code_scanning_alert'
}
