import { z } from 'zod'
import type { ActionCall } from '../../target.ts'
import { type GithubAction, lookOf, outcomeOf, probeByMark } from './action.ts'
import { textAt } from './client.ts'
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
    // A review can be dismissed, but it has been read and has counted; GitHub keeps it for ever.
    undo: 'permanent',
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
  /** A verdict is about one head: what was pushed since has not been reviewed. */
  async look(github, call, signal) {
    const { repo: name, number, event } = args.parse(call.args)
    const reply = await github.send({ method: 'GET', path: `/repos/${name}/pulls/${number}` }, signal)
    return lookOf(reply, (pull) => {
      const now = { state: textAt(pull, 'state'), head: textAt(pull, 'head', 'sha') }
      return { before: { ...now, review: null }, after: { ...now, review: event } }
    })
  },
}

function path(call: ActionCall): string {
  const value = args.parse(call.args)
  return `/repos/${value.repo}/pulls/${value.number}/reviews`
}

function bodyOf(call: ActionCall): string {
  return markedBody(args.parse(call.args).body, [call.marker])
}
