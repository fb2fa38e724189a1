import { z } from 'zod'
import type { ActionCall, DoneAction, Inverse, Look } from '../../target.ts'
import { type GithubAction, lookOf, outcomeOf, probeByLook, probeOf } from './action.ts'
import { type GithubClient, type GithubRequest, textAt } from './client.ts'
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
    undo: 'compensable',
    inverse,
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

/** GitHub deletes no check run: it becomes neutral, and says that it was withdrawn. */
function inverse({ args: given, remoteId }: DoneAction): Inverse {
  if (remoteId === null) return { kind: 'none', reason: 'it is not known which check run it made' }
  const { repo: name, head_sha, conclusion, title } = args.parse(given)
  return {
    kind: 'inverse',
    type: 'GITHUB_CHECK_RUN_UNDO',
    args: { repo: name, head_sha, check_run_id: remoteId },
    expected: { conclusion, title },
  }
}

const undoArgs = z.strictObject({ repo, head_sha: args.shape.head_sha, check_run_id: z.string().regex(/^\d+$/) })
const withdrawn = { conclusion: 'neutral', title: 'Withdrawn' } as const

export const githubCheckRunUndo: GithubAction = {
  type: {
    type: 'GITHUB_CHECK_RUN_UNDO',
    description: 'Withdraw a check run of ours.',
    args: undoArgs,
    target: (value) => `${undoArgs.parse(value).repo}@${undoArgs.parse(value).head_sha}`,
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
    const made = { kind: 'done', remoteId: undoArgs.parse(call.args).check_run_id, url: null, detail: {} } as const
    return probeByLook(await undoLook(github, call, signal), made)
  },
  look: undoLook,
}

function undoRequest(call: ActionCall): GithubRequest {
  const { repo: name, check_run_id: id } = undoArgs.parse(call.args)
  const output = { title: withdrawn.title, summary: 'The check was taken back by a person.' }
  const body = { status: 'completed', conclusion: withdrawn.conclusion, output }
  return { method: 'PATCH', path: `/repos/${name}/check-runs/${id}`, body, notAfter: call.notAfter }
}

async function undoLook(github: GithubClient, call: ActionCall, signal: AbortSignal): Promise<Look> {
  const { path } = undoRequest(call)
  return lookOf(await github.send({ method: 'GET', path }, signal), (run) => ({
    before: { conclusion: textAt(run, 'conclusion'), title: textAt(run, 'output', 'title') },
    after: withdrawn,
  }))
}
