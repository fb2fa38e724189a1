import { describe, expect, it } from 'vitest'
import { unmappedType } from '../source.ts'
import { pr, push, rows, run, secret } from '../../../test/github-rows.ts'
import { acting, changed, drafts, normalise, sample, samples } from '../../../test/github-samples.ts'
import { github } from './github.ts'

describe('the normalisation table', () => {
  it.each(rows)('row %s: %s', (_row, event, body, expected) => {
    const found = drafts(event, body).map((one) => [one.type, one.priority, one.subject.id, one.dedupKey])
    expect(found).toEqual(expected)
  })

  it('gives a pull request the flat fields that rules are written against', () => {
    const [draft] = drafts('pull_request', sample('pull_request', acting('opened')))
    expect(draft?.payload).toMatchObject({
      repo: 'Codertocat/Hello-World',
      number: 2,
      title: 'Update the README with new information.',
      body: 'This is a pretty simple change that we need to pull into master.',
      author: 'Codertocat',
      author_association: 'OWNER',
      draft: false,
      base: 'master',
      head_ref: 'changes',
      head_sha: 'ec26c3e57ca3a959ca5aad62de7213c562f8c821',
      additions: 1,
      deletions: 1,
      changed_files: 1,
      labels: [],
      state: 'open',
      action: 'opened',
      sender: 'Codertocat',
      url: 'https://github.com/Codertocat/Hello-World/pull/2',
    })
    expect(draft?.occurredAt.toISOString()).toBe('2019-05-15T15:20:33.000Z')
  })

  it('lists at most 100 commits and says how many there were', () => {
    const commit = { id: 'c', message: 'm', author: { name: 'Ann' }, added: ['a'], modified: [], removed: [] }
    const [draft] = drafts('push', push({ commits: Array.from({ length: 130 }, () => commit) }))
    expect(draft?.payload).toMatchObject({ commit_count: 130, branch: 'main', on_default_branch: true })
    expect(draft?.payload['commits']).toHaveLength(100)
  })
})

describe('trust', () => {
  it.each([
    ['OWNER', 'OWNER', 'member'],
    ['MEMBER', 'COLLABORATOR', 'member'],
    ['MEMBER', 'FIRST_TIME_CONTRIBUTOR', 'outsider'],
    ['CONTRIBUTOR', 'OWNER', 'outsider'],
    ['NONE', 'NONE', 'outsider'],
    [undefined, 'OWNER', 'outsider'],
  ])('of a comment by %s on an issue by %s is %s: the least trusted words count', (comment, issue, integrity) => {
    const body = changed(sample('issue_comment', acting('created')), {
      'comment.author_association': comment,
      'issue.author_association': issue,
    })
    expect(drafts('issue_comment', body)[0]?.actor.integrity).toBe(integrity)
  })

  it('is verified only for what GitHub itself wrote', () => {
    expect(drafts('secret_scanning_alert', secret)[0]?.actor).toEqual({
      kind: 'system',
      id: 'github',
      display: 'github',
      integrity: 'verified',
    })
    expect(drafts('star', sample('star'))[0]?.actor.integrity).toBe('outsider')
  })

  it('is that of an outsider for the run of a pull request, whose title anybody can write', () => {
    expect(
      drafts('workflow_run', run({ 'workflow_run.conclusion': 'failure', 'workflow_run.event': 'pull_request' }))[0],
    ).toMatchObject({
      priority: 'NORMAL',
      actor: { integrity: 'outsider' },
    })
  })
})

describe('echoes', () => {
  const id = `act_${'0'.repeat(25)}a`
  const text = `Looks good.\n\n<!-- guild:${id} -->`

  it('are known by our account, whatever its case', () => {
    const body = changed(pr('labeled'), { 'sender.login': 'Guild[bot]', 'sender.type': 'Bot' })
    expect(drafts('pull_request', body)[0]).toMatchObject({ self: true, marker: null, actor: { kind: 'bot' } })
  })

  it.each([
    ['issue_comment', changed(sample('issue_comment', acting('created')), { 'comment.body': text })],
    ['issue_comment', changed(sample('issue_comment', acting('edited')), { 'comment.body': text })],
    ['issues', changed(sample('issues', acting('opened')), { 'issue.body': text })],
    ['pull_request_review', changed(sample('pull_request_review', acting('submitted')), { 'review.body': text })],
    ['check_run', changed(sample('check_run', acting('created')), { 'check_run.external_id': id })],
    ['check_run', changed(sample('check_run', acting('completed')), { 'check_run.external_id': `guild:${id}` })],
  ])('of %s are known by the marker', (event, body) => {
    expect(drafts(event, body)[0]).toMatchObject({ self: true, marker: id })
  })

  it.each([
    [
      'a person labels an issue of ours',
      'issues',
      changed(sample('issues', acting('labeled')), { 'issue.body': text }),
    ],
    [
      'a person answers below it',
      'issue_comment',
      changed(sample('issue_comment', acting('created')), { 'issue.body': text }),
    ],
    ['the id is too long', 'issues', changed(sample('issues', acting('opened')), { 'issue.body': `guild:${id}0` })],
    [
      'a button of our check run is pressed',
      'check_run',
      changed(sample('check_run', acting('requested_action')), { 'check_run.external_id': id }),
    ],
  ])('are not seen when %s', (_when, event, body) => {
    expect(drafts(event, body)[0]).toMatchObject({ self: false, marker: null })
  })
})

describe('hostile bodies', () => {
  it('never keep a leaked secret', () => {
    expect(JSON.stringify(drafts('secret_scanning_alert', secret))).not.toContain('ghp_leaked')
    expect(JSON.stringify(normalise('push', secret))).not.toContain('ghp_leaked')
  })

  it('are a misfit when the event header was forged', () => {
    expect(normalise('pull_request', sample('push'))).toMatchObject({ kind: 'misfit' })
    expect(normalise('repository', sample('issue_comment', acting('created')))).toMatchObject({ kind: 'misfit' })
    expect(normalise('star', { sender: 'a text' })).toMatchObject({ kind: 'misfit' })
  })

  it.each(['constructor', '__proto__', 'toString'])('find no table row called %s', (name) => {
    expect(drafts('issues', changed(sample('issues'), { action: name }))[0]?.type).toBe(unmappedType)
    expect(drafts('status', changed(sample('status'), { state: name }))[0]?.type).toBe(unmappedType)
  })

  it.each(['9999-01-01T00:00:00Z', '-271821-04-20T00:00:00Z', 'yesterday', '', null])(
    'with the time %s happened when they arrived',
    (at) => {
      const body = changed(sample('issues', acting('opened')), { 'issue.created_at': at })
      expect(drafts('issues', body)[0]?.occurredAt).toEqual(new Date('2026-11-22T12:00:00Z'))
    },
  )

  it.each([
    ['no event', { 'x-github-delivery': 'd' }],
    ['two events', { 'x-github-event': 'push, issues', 'x-github-delivery': 'd' }],
    ['no delivery', { 'x-github-event': 'push' }],
    ['two deliveries', { 'x-github-event': 'push', 'x-github-delivery': 'd, e' }],
  ])('with %s in the headers are invalid', (_what, headers) => {
    expect(github.parse({ headers, body: Buffer.from('{}') }).kind).toBe('invalid')
  })

  it('cannot pass for a ping', () => {
    const headers = { 'x-github-event': 'ping', 'x-github-delivery': 'd' }
    const parse = (body: unknown): string => github.parse({ headers, body: Buffer.from(JSON.stringify(body)) }).kind
    expect(parse(samples.find((one) => one.event === 'ping')?.body)).toBe('control')
    expect(parse(sample('push'))).toBe('parsed')
  })
})

describe('a workflow run', () => {
  it.each([
    ['push', 'member'],
    ['schedule', 'member'],
    ['issues', 'outsider'],
    ['issue_comment', 'outsider'],
    ['workflow_run', 'outsider'],
    [undefined, 'outsider'],
  ])('set off by %s has the integrity %s: it may be named after an issue of anybody', (event, integrity) => {
    const body = run({ 'workflow_run.conclusion': 'failure', 'workflow_run.event': event })
    expect(drafts('workflow_run', body)[0]?.actor.integrity).toBe(integrity)
  })
})
