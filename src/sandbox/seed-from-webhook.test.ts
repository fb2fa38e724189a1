import { describe, expect, it } from 'vitest'
import { acting, sample, samples } from '../../test/github-samples.ts'
import { systemClock } from '../kernel/clock.ts'
import { GithubState } from './github-state.ts'
import { seedFromWebhook } from './seed-from-webhook.ts'
import { Shapes } from './shapes.ts'

describe('seedFromWebhook', () => {
  it('makes the pull request of a webhook readable', () => {
    const state = new GithubState()
    const files = [{ filename: 'README.md', additions: 1, patch: '@@' }]
    seedFromWebhook(state, sample('pull_request', acting('opened')), systemClock, { files })
    const repository = state.repository('codertocat/hello-world')
    const thread = repository?.threads.get(2)
    expect(thread).toMatchObject({
      title: 'Update the README with new information.',
      author: { login: 'Codertocat' },
      pull: {
        head: { ref: 'changes' },
        base: { ref: 'master' },
        size: { changedFiles: 1 },
        files: [{ filename: 'README.md' }],
      },
    })
    expect(repository && thread && new Shapes(state).pull(repository, thread)).toMatchObject({
      number: 2,
      additions: 1,
    })
  })

  it('keeps what was said when another webhook names the same thread', () => {
    const state = new GithubState()
    seedFromWebhook(state, sample('issue_comment', acting('created')), systemClock)
    seedFromWebhook(state, sample('issue_comment', acting('created')), systemClock)
    seedFromWebhook(state, sample('issues', acting('edited')), systemClock)
    const [repository] = state.repositories()
    expect(repository?.threads.get(1)?.comments).toHaveLength(1)
  })

  it('takes the commits of a push', () => {
    const state = new GithubState()
    const commit = { id: 'f'.repeat(40), message: 'm', author: { name: 'Ann', username: 'ann' }, added: ['a.ts'] }
    seedFromWebhook(state, { ...sample('push'), commits: [commit] }, systemClock)
    const [repository] = state.repositories()
    expect(repository?.commits.get(commit.id)).toMatchObject({ files: [{ filename: 'a.ts', status: 'added' }] })
  })

  it('accepts every published sample, and anything else', () => {
    const state = new GithubState()
    for (const { body } of samples) seedFromWebhook(state, body, systemClock)
    for (const body of [null, 1, [], { repository: 1 }, { repository: { full_name: 'a/b' }, pull_request: 1 }])
      seedFromWebhook(state, body, systemClock)
    expect(state.repositories().length).toBeGreaterThan(5)
  })
})
