import { expect, it } from 'vitest'
import { inThread, threadOf } from './thread.ts'

const about = (kind: string, id: string, payload: Record<string, unknown> = {}) => ({
  payload,
  metadata: { subject: { kind, id, url: null } },
})

it.each<[string, Parameters<typeof threadOf>[0], readonly string[]]>([
  ['an issue', about('issue', 'octo/shop#12'), ['octo/shop#12']],
  [
    'a pull request, with its head commit',
    about('pull_request', 'octo/shop#12', { head_sha: 'abc' }),
    ['octo/shop#12', 'octo/shop@abc'],
  ],
  [
    'a pull request, its head in its own repository only',
    about('pull_request', 'octo/shop#1', { head_sha: 'abc', repo: 'evil/x' }),
    ['octo/shop#1', 'octo/shop@abc'],
  ],
  ['an issue, whose payload names a commit', about('issue', 'octo/shop#12', { head_sha: 'abc' }), ['octo/shop#12']],
  ['a repository: a new issue there is no answer', about('repository', 'octo/shop'), []],
  ['a branch', about('branch', 'octo/shop@main'), []],
  ['nothing known', null, []],
  ['nothing said', { payload: {}, metadata: {} }, []],
  ['an empty subject', about('issue', ''), []],
])('the thread of %s', (_, event, thread) => {
  expect(threadOf(event)).toEqual(thread)
})

it('knows a target in any case of letters, and never a longer one', () => {
  expect(inThread('Octo/Shop#12', ['octo/shop#12'])).toBe(true)
  expect(inThread('octo/shop#123', ['octo/shop#12'])).toBe(false)
  expect(inThread('octo/shop#12', [])).toBe(false)
})
