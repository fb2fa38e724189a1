import { z } from 'zod'
import type { ActionCall } from '../../target.ts'
import { type GithubAction, outcomeOf, probeOf } from './action.ts'
import { type GithubRequest, textAt } from './client.ts'
import { bodyCharactersMax, neutralise, repo, text } from './text.ts'

const args = z.strictObject({
  repo,
  head_sha: z.string().regex(/^[0-9a-f]{40}$/, 'the full commit id'),
  name: text(100).describe('name of the check'),
  conclusion: z.enum(['success', 'failure', 'neutral', 'cancelled', 'skipped', 'timed_out', 'action_required']),
  title: text(250),
  summary: text(bodyCharactersMax).describe('Markdown'),
})

/** Needs the token of a GitHub App: GitHub gives nobody else the permission. `external_id` carries the action's id. */
export const githubCheckRun: GithubAction = {
  type: {
    type: 'GITHUB_CHECK_RUN',
    description: 'Report a completed check on a commit.',
    args,
    target: (value) => `${args.parse(value).repo}@${args.parse(value).head_sha}`,
    meaning: (value) => {
      const { name, conclusion, title } = args.parse(value)
      return [name, conclusion, title]
    },
    dedupeWindowMs: 24 * 3_600_000,
    stateful: true,
    reversible: 'compensable',
  },
  render: create,
  async execute(github, call, signal) {
    return outcomeOf(await github.send(create(call), signal))
  },
  async probe(github, call, _sentAt, signal) {
    const value = args.parse(call.args)
    const path = `/repos/${value.repo}/commits/${value.head_sha}/check-runs?filter=all&check_name=${encodeURIComponent(value.name)}`
    return probeOf(
      await github.find(path, (item) => (textAt(item, 'external_id') === call.actionId ? item : null), signal),
    )
  },
}

function create(call: ActionCall): GithubRequest {
  const value = args.parse(call.args)
  const body = {
    name: value.name,
    head_sha: value.head_sha,
    status: 'completed',
    conclusion: value.conclusion,
    external_id: call.actionId,
    output: { title: value.title, summary: neutralise(value.summary) },
  }
  return { method: 'POST', path: `/repos/${value.repo}/check-runs`, body, notAfter: call.notAfter }
}
