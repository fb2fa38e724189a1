import { z } from 'zod'
import type { JsonObject } from '../../../kernel/json.ts'
import type { ActionCall, DoneAction, Inverse, Outcome } from '../../target.ts'
import type { GithubAction } from './action.ts'
import { type GithubClient, type GithubRequest, textAt } from './client.ts'
import { issueNumber, repo, text } from './text.ts'

/** It becomes a part of a path, where `.` would mean all labels and `..` the issue itself. */
const label = text(50).refine((name) => name !== '.' && name !== '..', 'no label is called that')
const labels = z.array(label).max(20).default([])
const args = z
  .strictObject({ repo, number: issueNumber, add: labels, remove: labels })
  .refine((value) => value.add.length + value.remove.length > 0, 'name at least one label to add or to remove')
type Args = z.infer<typeof args>

/** Labels are a set: adding twice and removing what is gone change nothing, so every call may be repeated (edges 3.3). */
export const githubLabel: GithubAction = {
  type: {
    type: 'GITHUB_LABEL',
    description: 'Add labels to, or remove labels from, a GitHub issue or pull request.',
    args,
    target: (value) => `${args.parse(value).repo}#${args.parse(value).number}`,
    meaning: (value) => {
      const { add, remove } = args.parse(value)
      return { add: names(add).sort(), remove: names(remove).sort() }
    },
    dedupeWindowMs: 24 * 3_600_000,
    stateful: true,
    undo: 'reversible',
    inverse,
    keepsBefore: () => true,
  },
  render: (call) => requests(args.parse(call.args))[0] ?? { method: 'GET', path: path(args.parse(call.args)) },
  async execute(github, call, signal) {
    const value = args.parse(call.args)
    for (const request of requests(value)) {
      const reply = await github.send({ ...request, notAfter: call.notAfter }, signal)
      const gone = request.method === 'DELETE' && reply.kind === 'failed' && reply.status === 404
      if (reply.kind === 'failed' && !gone) return reply.failure
    }
    return done(value)
  },
  async probe(github, call, _sentAt, signal) {
    const value = args.parse(call.args)
    const have = await current(github, call, signal)
    if (have.kind === 'failed') {
      return { kind: 'unknown', reason: have.reason, retryAfterMs: have.retryAfterMs }
    }
    const applied =
      names(value.add).every((name) => have.names.has(name)) &&
      !names(value.remove).some((name) => have.names.has(name))
    return applied ? { ...done(value), kind: 'found' } : { kind: 'absent' }
  },
  async look(github, call, signal) {
    const have = await current(github, call, signal)
    if (have.kind === 'failed') return { ...have, kind: 'unknown' }
    const { add, remove } = args.parse(call.args)
    const before = names([...add, ...remove]).map((name) => [`label ${name}`, have.names.has(name)])
    const after = [
      ...names(add).map((name) => [`label ${name}`, true]),
      ...names(remove).map((name) => [`label ${name}`, false]),
    ]
    return {
      kind: 'seen',
      comparison: { before: Object.fromEntries(before) as JsonObject, after: Object.fromEntries(after) as JsonObject },
    }
  },
}

/** Takes back only what the action itself has changed: a label that was there before stays. */
export const githubLabelUndo: GithubAction = {
  ...githubLabel,
  type: {
    type: 'GITHUB_LABEL_UNDO',
    description: 'Take back what labels an action has added or removed.',
    args,
    target: (value) => githubLabel.type.target(value),
    meaning: () => null,
    dedupeWindowMs: 0,
    stateful: false,
    undo: 'permanent',
  },
}

function inverse({ args: given, before }: DoneAction): Inverse {
  if (before === null) return { kind: 'none', reason: 'it is not known which labels were there before' }
  const { repo: name, number, add, remove } = args.parse(given)
  const was = (label: string) => before[`label ${label.toLowerCase()}`] === true
  const added = add.filter((label) => !was(label))
  const removed = remove.filter((label) => was(label))
  if (added.length + removed.length === 0) return { kind: 'none', reason: 'it changed no label' }
  const expected = [
    ...names(added).map((one) => [`label ${one}`, true]),
    ...names(removed).map((one) => [`label ${one}`, false]),
  ]
  return {
    kind: 'inverse',
    type: 'GITHUB_LABEL_UNDO',
    args: { repo: name, number, add: removed, remove: added },
    expected: Object.fromEntries(expected) as JsonObject,
  }
}

/** One POST for all that is added, one DELETE for each that is removed: GitHub has no call for both. */
function requests(value: Args): readonly GithubRequest[] {
  const base = path(value)
  return [
    ...(value.add.length > 0
      ? [{ method: 'POST', path: base, body: { labels: value.add }, idempotent: true } as const]
      : []),
    ...value.remove.map((name) => ({ method: 'DELETE', path: `${base}/${encodeURIComponent(name)}` }) as const),
  ]
}

type Current =
  | { readonly kind: 'labels'; readonly names: ReadonlySet<string> }
  | { readonly kind: 'failed'; readonly reason: string; readonly retryAfterMs: number }

async function current(github: GithubClient, call: ActionCall, signal: AbortSignal): Promise<Current> {
  const found = new Set<string>()
  const collect = (item: unknown) => {
    const name = textAt(item, 'name')
    if (name !== null) found.add(name.toLowerCase())
    return null
  }
  const answer = await github.find(path(args.parse(call.args)), collect, signal)
  if (answer.kind !== 'failed') return { kind: 'labels', names: found }
  const { failure } = answer
  return {
    kind: 'failed',
    reason: failure.reason,
    retryAfterMs: failure.kind === 'not-done' ? failure.retryAfterMs : 0,
  }
}

function path(value: Args): string {
  return `/repos/${value.repo}/issues/${value.number}/labels`
}

/** GitHub's labels have no case. */
function names(list: readonly string[]): string[] {
  return list.map((name) => name.toLowerCase())
}

function done(value: Args): Outcome & { kind: 'done' } {
  return {
    kind: 'done',
    remoteId: `labels:${value.repo}#${value.number}`,
    url: null,
    detail: { added: value.add, removed: value.remove },
  }
}
