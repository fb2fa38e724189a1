import { z } from 'zod'
import type { ActionCall, Outcome } from '../../target.ts'
import { type GithubAction, outcomeOf, probeByMark, sinceParameter } from './action.ts'
import { type GithubClient, type GithubRequest, textAt } from './client.ts'
import { bodyCharactersMax, hasMark, issueNumber, markedBody, repo, text, threadMark } from './text.ts'

const args = z.strictObject({
  repo,
  number: issueNumber,
  body: text(bodyCharactersMax).describe('Markdown; replaces your earlier comment on this thread'),
})
type Args = z.infer<typeof args>

/** One comment per agent and thread: the second thing an agent says replaces the first, as no reader wants the twentieth. */
export const githubComment: GithubAction = {
  type: {
    type: 'GITHUB_COMMENT',
    description: 'Comment on a GitHub issue or pull request. You have one comment per thread: a later one replaces it.',
    args,
    target: (value) => `${args.parse(value).repo}#${args.parse(value).number}`,
    meaning: (value) => args.parse(value).body.replaceAll(/\s+/g, ' ').trim().toLowerCase(),
    dedupeWindowMs: 24 * 3_600_000,
    stateful: true,
    reversible: 'compensable',
  },
  render: (call) => (call.previousRemoteId === null ? create(call) : update(call, call.previousRemoteId)),
  async execute(github, call, signal) {
    if (call.previousRemoteId !== null) {
      const reply = await github.send(update(call, call.previousRemoteId), signal)
      // Somebody deleted our comment: say it anew. Any other failure is the outcome.
      if (reply.kind === 'ok' || (reply.status !== 404 && reply.status !== 410)) return outcomeOf(reply)
    }
    return createOrUpdate(github, call, signal)
  },
  async probe(github, call, sentAt, signal) {
    const path = `${commentsPath(call)}?since=${sinceParameter(sentAt)}`
    return probeByMark(github, () => path, { ...bodyOf(call), mark: call.marker }, signal)
  },
}

async function createOrUpdate(github: GithubClient, call: ActionCall, signal: AbortSignal): Promise<Outcome> {
  const who = await github.login(signal)
  if (who.kind === 'failed') return who.failure
  const { login } = who
  // Without knowing who we are, a copied mark could make us write over somebody else's comment.
  if (login === null) return outcomeOf(await github.send(create(call), signal))
  const mine = (item: unknown) =>
    hasMark(textAt(item, 'body'), threadMark(call.agentId)) &&
    textAt(item, 'user', 'login')?.toLowerCase() === login.toLowerCase()
      ? textAt(item, 'id')
      : null
  const found = await github.find(commentsPath(call), mine, signal)
  if (found.kind === 'failed') return found.failure
  return outcomeOf(await github.send(found.kind === 'found' ? update(call, found.value) : create(call), signal))
}

function create(call: ActionCall): GithubRequest {
  return { method: 'POST', path: commentsPath(call), body: bodyOf(call), notAfter: call.notAfter }
}

function update(call: ActionCall, commentId: string): GithubRequest {
  const { repo: name } = args.parse(call.args)
  return {
    method: 'PATCH',
    path: `/repos/${name}/issues/comments/${encodeURIComponent(commentId)}`,
    body: bodyOf(call),
    notAfter: call.notAfter,
  }
}

function commentsPath(call: ActionCall): string {
  const value: Args = args.parse(call.args)
  return `/repos/${value.repo}/issues/${value.number}/comments`
}

function bodyOf(call: ActionCall): { body: string } {
  return { body: markedBody(args.parse(call.args).body, [threadMark(call.agentId), call.marker]) }
}
