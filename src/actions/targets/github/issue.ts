import { z } from 'zod'
import type { ActionCall } from '../../target.ts'
import { type GithubAction, outcomeOf, probeByMark, sinceParameter } from './action.ts'
import type { GithubRequest } from './client.ts'
import { bodyCharactersMax, markedBody, neutralise, repo, text } from './text.ts'

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
    reversible: 'compensable',
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
