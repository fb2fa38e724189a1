import { z } from 'zod'
import type { ActionCall, DoneAction, Inverse, Look } from '../../target.ts'
import { type GithubAction, lookOf, outcomeOf, plainWords, probeByLook, probeByMark, sinceParameter } from './action.ts'
import { type GithubClient, type GithubRequest, textAt } from './client.ts'
import { bodyCharactersMax, issueNumber, markedBody, neutralise, repo, text } from './text.ts'

const args = z.strictObject({
  repo,
  title: text(256),
  body: text(bodyCharactersMax).describe('Markdown'),
  labels: z.array(text(50)).max(20).optional(),
})

export const githubIssue: GithubAction = {
  type: {
    type: 'GITHUB_ISSUE',
    description: 'Open a GitHub issue.',
    args,
    target: (value) => args.parse(value).repo,
    // Two agents word one finding differently in the body; the title is the idea.
    meaning: (value) => args.parse(value).title.replaceAll(/\s+/g, ' ').trim().toLowerCase(),
    dedupeWindowMs: 24 * 3_600_000,
    stateful: false,
    undo: 'compensable',
    inverse,
  },
  render: create,
  async execute(github, call, signal) {
    return outcomeOf(await github.send(create(call), signal))
  },
  async probe(github, call, sentAt, signal) {
    const list = `/repos/${args.parse(call.args).repo}/issues?state=all&since=${sinceParameter(sentAt)}`
    const path = (login: string | null) => (login === null ? list : `${list}&creator=${encodeURIComponent(login)}`)
    return probeByMark(github, path, { body: bodyOf(call), mark: call.marker }, signal)
  },
}

function create(call: ActionCall): GithubRequest {
  const value = args.parse(call.args)
  const body = { title: neutralise(value.title), body: bodyOf(call), ...(value.labels && { labels: value.labels }) }
  return { method: 'POST', path: `/repos/${value.repo}/issues`, body, notAfter: call.notAfter }
}

function bodyOf(call: ActionCall): string {
  return markedBody(args.parse(call.args).body, [call.marker])
}

/** Closes it: deleting takes an administrator, and what was read cannot be unread. */
function inverse({ args: given, url, rendered }: DoneAction): Inverse {
  const number = Number(/\/issues\/(\d+)$/.exec(url ?? '')?.[1])
  if (!Number.isInteger(number)) return { kind: 'none', reason: 'it is not known which issue it opened' }
  const title = textAt(rendered, 'body', 'title')
  const body = plainWords(textAt(rendered, 'body', 'body') ?? '')
  return {
    kind: 'inverse',
    type: 'GITHUB_ISSUE_UNDO',
    args: { repo: args.parse(given).repo, number },
    expected: { state: 'open', title, body, answers: 0 },
  }
}

const undoArgs = z.strictObject({ repo, number: issueNumber })

export const githubIssueUndo: GithubAction = {
  type: {
    type: 'GITHUB_ISSUE_UNDO',
    description: 'Close an issue that we opened.',
    args: undoArgs,
    target: (value) => undoArgs.parse(value).repo,
    meaning: () => null,
    dedupeWindowMs: 0,
    stateful: false,
    undo: 'permanent',
  },
  render: undoRequest,
  async execute(github, call, signal) {
    return outcomeOf(await github.send(undoRequest(call), signal))
  },
  async probe(github, call, _sentAt, signal) {
    const { repo: name, number } = undoArgs.parse(call.args)
    const made = { kind: 'done', remoteId: `${name}#${number}`, url: null, detail: {} } as const
    return probeByLook(await undoLook(github, call, signal), made)
  },
  look: undoLook,
}

function undoRequest(call: ActionCall): GithubRequest {
  const { repo: name, number } = undoArgs.parse(call.args)
  const path = `/repos/${name}/issues/${number}`
  return { method: 'PATCH', path, body: { state: 'closed', state_reason: 'not_planned' }, notAfter: call.notAfter }
}

async function undoLook(github: GithubClient, call: ActionCall, signal: AbortSignal): Promise<Look> {
  const { path } = undoRequest(call)
  return lookOf(await github.send({ method: 'GET', path }, signal), (issue) => {
    const before = {
      state: textAt(issue, 'state'),
      title: textAt(issue, 'title'),
      body: plainWords(textAt(issue, 'body') ?? ''),
      answers: Number(textAt(issue, 'comments') ?? 0),
    }
    return { before, after: { ...before, state: 'closed' } }
  })
}
