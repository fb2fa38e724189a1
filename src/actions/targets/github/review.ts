import { z } from 'zod'
import type { ActionCall } from '../../target.ts'
import { type GithubAction, outcomeOf, probeByMark } from './action.ts'
import { bodyCharactersMax, issueNumber, markedBody, repo, text } from './text.ts'

const args = z.strictObject({
  repo,
  number: issueNumber.describe('number of the pull request'),
  event: z.enum(['APPROVE', 'REQUEST_CHANGES', 'COMMENT']),
  body: text(bodyCharactersMax).describe('Markdown'),
})

export const githubReview: GithubAction = {
  type: {
    type: 'GITHUB_REVIEW',
    description: 'Review a GitHub pull request: approve, request changes, or comment.',
    args,
    target: (value) => `${args.parse(value).repo}#${args.parse(value).number}`,
    meaning: (value) => {
      const { event, body } = args.parse(value)
      return [event, body.replaceAll(/\s+/g, ' ').trim().toLowerCase()]
    },
    dedupeWindowMs: 24 * 3_600_000,
    stateful: true,
    reversible: 'no',
  },
  render: (call) => {
    const { event } = args.parse(call.args)
    return { method: 'POST', path: path(call), body: { event, body: bodyOf(call) }, notAfter: call.notAfter }
  },
  async execute(github, call, signal) {
    return outcomeOf(await github.send(this.render(call), signal))
  },
  async probe(github, call, _sentAt, signal) {
    return probeByMark(github, () => path(call), { body: bodyOf(call), mark: call.marker }, signal)
  },
}

function path(call: ActionCall): string {
  const value = args.parse(call.args)
  return `/repos/${value.repo}/pulls/${value.number}/reviews`
}

function bodyOf(call: ActionCall): string {
  return markedBody(args.parse(call.args).body, [call.marker])
}
