import { z } from 'zod'
import type { ActionCall, DoneAction, Inverse, Look, Outcome } from '../../target.ts'
import { type GithubAction, lookOf, outcomeOf, plainWords, probeByLook, probeByMark, sinceParameter } from './action.ts'
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
    undo: 'compensable',
    inverse,
    keepsBefore: (call) => call.previousRemoteId !== null,
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
  async look(github, call, signal) {
    const { repo: name, number } = args.parse(call.args)
    const thread = await github.send({ method: 'GET', path: `/repos/${name}/issues/${number}` }, signal)
    const earlier =
      call.previousRemoteId === null
        ? null
        : await github.send({ method: 'GET', path: pathOf(name, call.previousRemoteId) }, signal)
    // What cannot be read must not look like a comment that was deleted.
    if (earlier?.kind === 'failed' && earlier.status !== 404) return lookOf(earlier, noComment)
    const comment = earlier?.kind === 'ok' ? wordsOf(earlier.data) : null
    return lookOf(thread, (issue) => {
      const now = { state: textAt(issue, 'state') }
      return { before: { ...now, comment }, after: { ...now, comment: plainWords(bodyOf(call).body) } }
    })
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
      ? { id: textAt(item, 'id') ?? '', words: wordsOf(item) ?? '' }
      : null
  const found = await github.find(commentsPath(call), mine, signal)
  if (found.kind === 'failed') return found.failure
  if (found.kind === 'absent') return outcomeOf(await github.send(create(call), signal))
  const outcome = outcomeOf(await github.send(update(call, found.value.id), signal))
  // Undoing an update brings these words back.
  return outcome.kind === 'done' ? { ...outcome, detail: { ...outcome.detail, previous: found.value.words } } : outcome
}

function create(call: ActionCall): GithubRequest {
  return { method: 'POST', path: commentsPath(call), body: bodyOf(call), notAfter: call.notAfter }
}

function update(call: ActionCall, commentId: string): GithubRequest {
  const { repo: name } = args.parse(call.args)
  return {
    method: 'PATCH',
    path: pathOf(name, commentId),
    body: bodyOf(call),
    notAfter: call.notAfter,
  }
}

function pathOf(name: string, commentId: string): string {
  return `/repos/${name}/issues/comments/${encodeURIComponent(commentId)}`
}

const noComment = () => ({ before: { comment: null }, after: { comment: null } })

function wordsOf(comment: unknown): string | null {
  const body = textAt(comment, 'body')
  return body === null ? null : plainWords(body)
}

/** Deletes the comment, or brings back the words it replaced. */
function inverse({ args: given, remoteId, remote, before, rendered }: DoneAction): Inverse {
  const sent = textAt(rendered, 'body', 'body')
  if (remoteId === null || sent === null) return { kind: 'none', reason: 'it is not known which comment it made' }
  const { repo: name, number } = args.parse(given)
  const restore = textAt(before, 'comment') ?? textAt(remote, 'previous')
  return {
    kind: 'inverse',
    type: 'GITHUB_COMMENT_UNDO',
    args: { repo: name, number, comment_id: remoteId, restore },
    expected: { comment: plainWords(sent) },
  }
}

const undoArgs = z.strictObject({
  repo,
  number: issueNumber,
  comment_id: z.string().regex(/^\d+$/),
  restore: z.string().nullable(),
})

export const githubCommentUndo: GithubAction = {
  type: {
    type: 'GITHUB_COMMENT_UNDO',
    description: 'Delete a comment of ours, or bring back the words it replaced.',
    args: undoArgs,
    target: (value) => `${undoArgs.parse(value).repo}#${undoArgs.parse(value).number}`,
    meaning: () => null,
    dedupeWindowMs: 0,
    stateful: false,
    undo: 'permanent',
  },
  render: undoRequest,
  async execute(github, call, signal) {
    const reply = await github.send(undoRequest(call), signal)
    // Gone is what was wanted; and where there is nothing to restore into, nothing can be restored.
    return reply.kind === 'ok' || reply.status === 404 ? undone(call) : reply.failure
  },
  async probe(github, call, _sentAt, signal) {
    return probeByLook(await undoLook(github, call, signal), undone(call))
  },
  look: undoLook,
}

function undoRequest(call: ActionCall): GithubRequest {
  const { repo: name, comment_id: id, restore } = undoArgs.parse(call.args)
  const path = pathOf(name, id)
  if (restore === null) return { method: 'DELETE', path, notAfter: call.notAfter }
  return { method: 'PATCH', path, body: { body: restore }, notAfter: call.notAfter }
}

async function undoLook(github: GithubClient, call: ActionCall, signal: AbortSignal): Promise<Look> {
  const { repo: name, comment_id: id, restore } = undoArgs.parse(call.args)
  const reply = await github.send({ method: 'GET', path: pathOf(name, id) }, signal)
  return lookOf(reply, (comment) => ({
    before: { comment: wordsOf(comment) },
    after: { comment: comment === null ? null : restore },
  }))
}

function undone(call: ActionCall): Outcome & { kind: 'done' } {
  return { kind: 'done', remoteId: undoArgs.parse(call.args).comment_id, url: null, detail: {} }
}

function commentsPath(call: ActionCall): string {
  const value: Args = args.parse(call.args)
  return `/repos/${value.repo}/issues/${value.number}/comments`
}

function bodyOf(call: ActionCall): { body: string } {
  return { body: markedBody(args.parse(call.args).body, [threadMark(call.agentId), call.marker]) }
}
