import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../kernel/clock.ts'
import { signGithub } from './deliver.ts'
import { type Sandbox, type SandboxOptions, sandboxToken, startSandbox } from './sandbox.ts'
import type { SandboxSeed } from './seed.ts'

const seed: SandboxSeed = {
  tokens: [{ token: 'ann-token', login: 'ann' }],
  repositories: [
    {
      full_name: 'octo/shop',
      files: { 'README.md': '# Shop\n', 'src/pay.ts': 'export {}\n' },
      commits: [
        { sha: 'a'.repeat(40), message: 'first', author: { name: 'Ann', login: 'ann' }, date: '2026-01-01T00:00:00Z' },
        { sha: 'b'.repeat(40), message: 'second', author: { name: 'Bob' }, files: [{ filename: 'src/pay.ts' }] },
      ],
      issues: [{ number: 3, title: 'It breaks', body: 'badly', user: 'eve', labels: ['bug'] }],
      pulls: [
        {
          number: 12,
          title: 'Pay faster',
          user: 'eve',
          head: { ref: 'fast', sha: 'c'.repeat(40) },
          files: [
            {
              filename: 'src/pay.ts',
              additions: 2,
              deletions: 1,
              patch: '@@ -1 +1,2 @@',
              contents: 'export const fast = 1\n',
            },
          ],
          commits: [{ sha: 'c'.repeat(40), message: 'faster', author: { name: 'Eve' } }],
        },
      ],
    },
  ],
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  // The answers are GitHub's JSON; each test looks at a few fields of it.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any
}

class Client implements AsyncDisposable {
  readonly sandbox: Sandbox
  constructor(sandbox: Sandbox) {
    this.sandbox = sandbox
  }
  static async open(more: Partial<SandboxOptions> = {}): Promise<Client> {
    return new Client(await startSandbox({ clock: systemClock, seed, ...more }))
  }
  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(`${this.sandbox.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${sandboxToken}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(5_000),
    })
    const text = await response.text()
    const json = text !== '' && response.headers.get('content-type')?.includes('json')
    return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text }
  }
  get(path: string, headers?: Record<string, string>): Promise<Answer> {
    return this.call('GET', path, undefined, headers)
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox.close()
  }
}

interface Hook extends AsyncDisposable {
  readonly url: string
  readonly got: { event: string; delivery: string; valid: boolean; body: Readonly<Record<string, never>> }[]
  answer: number
}

/** A gateway that only checks the signature. */
async function hookServer(secret: string): Promise<Hook> {
  const server = createServer((request: IncomingMessage, response) => {
    void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const raw = Buffer.concat(chunks)
      hook.got.push({
        event: String(request.headers['x-github-event']),
        delivery: String(request.headers['x-github-delivery']),
        valid: request.headers['x-hub-signature-256'] === signGithub(secret, raw),
        body: JSON.parse(raw.toString()),
      })
      response.writeHead(hook.answer).end('{}')
    })()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const hook: Hook = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhooks/github`,
    got: [],
    answer: 202,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return hook
}

const comments = '/repos/octo/shop/issues/12/comments'

it('answers to loopback names only, so that no web page can rebind a name of its own to it', async () => {
  await using client = await Client.open()
  const { port } = new URL(client.sandbox.url)
  const status = async (host: string) => {
    const [response] = await once(get({ port, path: '/_sandbox/received', headers: { host } }), 'response')
    const { statusCode } = (response as IncomingMessage).resume()
    return statusCode
  }
  expect(await status(`evil.example:${port}`)).toBe(403)
  expect(await status(`127.0.0.1.evil.example`)).toBe(403)
  expect(await status(`localhost:${port}`)).toBe(200)
})

describe('reads', () => {
  it.each([
    ['/user', { login: 'guild[bot]', type: 'Bot' }],
    ['/repos/octo/shop', { full_name: 'octo/shop', default_branch: 'main' }],
    ['/repos/OCTO/Shop', { full_name: 'octo/shop' }],
    [
      '/repos/octo/shop/pulls/12',
      { number: 12, title: 'Pay faster', head: { ref: 'fast' }, base: { ref: 'main' }, additions: 2, changed_files: 1 },
    ],
    ['/repos/octo/shop/pulls', [{ number: 12 }]],
    ['/repos/octo/shop/pulls/12/files', [{ filename: 'src/pay.ts', patch: '@@ -1 +1,2 @@', changes: 3 }]],
    ['/repos/octo/shop/pulls/12/commits', [{ sha: 'c'.repeat(40) }]],
    ['/repos/octo/shop/issues/3', { number: 3, user: { login: 'eve' }, labels: [{ name: 'bug' }] }],
    ['/repos/octo/shop/issues?state=all&creator=eve', [{ number: 12, pull_request: {} }, { number: 3 }]],
    ['/repos/octo/shop/issues?creator=nobody', []],
    ['/repos/octo/shop/commits', [{ sha: 'b'.repeat(40) }, { sha: 'a'.repeat(40) }]],
    ['/repos/octo/shop/commits/main', { sha: 'b'.repeat(40), files: [{ filename: 'src/pay.ts' }] }],
    [
      '/repos/octo/shop/compare/main...fast',
      { status: 'ahead', total_commits: 1, files: [{ filename: 'src/pay.ts' }] },
    ],
    [`/repos/octo/shop/compare/${'a'.repeat(40)}...${'b'.repeat(40)}`, { total_commits: 1 }],
    [
      '/repos/octo/shop/contents/README.md',
      { type: 'file', encoding: 'base64', content: Buffer.from('# Shop\n').toString('base64') },
    ],
    [
      '/repos/octo/shop/contents/src/pay.ts?ref=fast',
      { content: Buffer.from('export const fast = 1\n').toString('base64') },
    ],
    [
      '/repos/octo/shop/contents/',
      [
        { name: 'README.md', type: 'file' },
        { name: 'src', type: 'dir' },
      ],
    ],
    ['/api/v3/repos/octo/shop', { full_name: 'octo/shop' }],
  ])('GET %s', async (path, expected) => {
    await using client = await Client.open()
    const answer = await client.get(path)
    expect([answer.status, answer.body]).toMatchObject([200, expected])
  })

  it.each([
    '/repos/octo/none',
    '/repos/octo/shop/pulls/3',
    '/repos/octo/shop/issues/99',
    '/repos/octo/shop/contents/none',
    '/repos/octo/shop/commits/none',
    '/repos',
  ])('GET %s is 404', async (path) => {
    await using client = await Client.open()
    expect(await client.get(path)).toMatchObject({ status: 404, body: { message: 'Not Found' } })
  })

  it.each([
    ['none', ''],
    ['unknown', 'Bearer nope'],
  ])('with %s token are 401', async (_what, authorization) => {
    await using client = await Client.open()
    expect((await client.get('/user', { authorization })).status).toBe(401)
  })

  it('answer 304 to a known etag, which costs nothing', async () => {
    await using client = await Client.open()
    const first = await client.get('/repos/octo/shop')
    const again = await client.get('/repos/octo/shop', { 'if-none-match': first.headers.get('etag') ?? '' })
    expect([again.status, again.body]).toEqual([304, ''])
    expect(again.headers.get('x-ratelimit-remaining')).toBe(first.headers.get('x-ratelimit-remaining'))
  })

  it('say 403 when the hour is used up', async () => {
    await using client = await Client.open({ seed: { ...seed, rate_limit: 2 } })
    await client.get('/user')
    await client.get('/user')
    const third = await client.get('/user')
    expect([third.status, third.headers.get('x-ratelimit-remaining')]).toEqual([403, '0'])
  })

  it('come in pages with links', async () => {
    await using client = await Client.open()
    for (const body of ['one', 'two', 'three']) await client.call('POST', comments, { body })
    const first = await client.get(`${comments}?per_page=2`)
    expect(first.body).toMatchObject([{ body: 'one' }, { body: 'two' }])
    const next = /<([^>]+)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1] ?? ''
    const second = await client.get(next.slice(client.sandbox.url.length))
    expect(second.body).toMatchObject([{ body: 'three' }])
    expect(second.headers.get('link')).not.toContain('rel="next"')
  })
})

describe('writes', () => {
  it('create, change and list comments', async () => {
    await using client = await Client.open()
    const made = await client.call('POST', comments, { body: 'hello' })
    expect(made).toMatchObject({ status: 201, body: { id: expect.any(Number), user: { login: 'guild[bot]' } } })
    const { id } = made.body
    await client.call('PATCH', `/repos/octo/shop/issues/comments/${id}`, { body: 'bye' })
    expect((await client.get(`${comments}?since=2020-01-01T00:00:00Z`)).body).toMatchObject([{ id, body: 'bye' }])
    expect((await client.get(`${comments}?since=2999-01-01T00:00:00Z`)).body).toEqual([])
    expect((await client.call('DELETE', `/repos/octo/shop/issues/comments/${id}`)).status).toBe(204)
    expect((await client.get(comments)).body).toEqual([])
  })

  it('are refused with 422 and the field when they do not fit', async () => {
    await using client = await Client.open()
    const field = async (path: string, body: unknown): Promise<unknown> => {
      const answer = await client.call('POST', path, body)
      return [answer.status, answer.body.errors?.[0]?.field]
    }
    expect(await field(comments, {})).toEqual([422, 'body'])
    expect(await field(comments, { body: ' ' })).toEqual([422, 'body'])
    expect(await field(comments, { body: 'x'.repeat(65_537) })).toEqual([422, 'body'])
    expect(await field('/repos/octo/shop/issues', { body: 'b' })).toEqual([422, 'title'])
    expect(await field('/repos/octo/shop/check-runs', { name: 'n' })).toEqual([422, 'head_sha'])
    expect(await field('/repos/octo/shop/pulls/12/reviews', { event: 'COMMENT' })).toEqual([422, 'body'])
    expect(await field('/repos/octo/shop/pulls/12/reviews', { event: 'MAYBE', body: 'b' })).toEqual([422, 'event'])
  })

  it('open, change and close issues', async () => {
    await using client = await Client.open()
    const made = await client.call('POST', '/repos/octo/shop/issues', { title: 't', body: 'b', labels: ['x'] })
    expect(made).toMatchObject({ status: 201, body: { number: 13, state: 'open', labels: [{ name: 'x' }] } })
    const closed = await client.call('PATCH', '/repos/octo/shop/issues/13', { state: 'closed' })
    expect(closed.body).toMatchObject({ state: 'closed', closed_at: expect.any(String) })
    expect((await client.get('/repos/octo/shop/issues?creator=guild[bot]')).body).toEqual([])
  })

  it('review pull requests', async () => {
    await using client = await Client.open()
    const path = '/repos/octo/shop/pulls/12/reviews'
    const made = await client.call('POST', path, { event: 'REQUEST_CHANGES', body: 'no' })
    expect(made.body).toMatchObject({ state: 'CHANGES_REQUESTED', commit_id: 'c'.repeat(40) })
    expect((await client.get(path)).body).toMatchObject([{ body: 'no', user: { login: 'guild[bot]' } }])
  })

  it('add and take away labels, once', async () => {
    await using client = await Client.open()
    const path = '/repos/octo/shop/issues/3/labels'
    expect((await client.call('POST', path, { labels: ['Bug', 'risk'] })).body).toMatchObject([
      { name: 'bug' },
      { name: 'risk' },
    ])
    expect((await client.call('DELETE', `${path}/risk`)).body).toMatchObject([{ name: 'bug' }])
    expect(await client.call('DELETE', `${path}/risk`)).toMatchObject({
      status: 404,
      body: { message: 'Label does not exist' },
    })
  })

  it('report checks', async () => {
    await using client = await Client.open()
    const head_sha = 'c'.repeat(40)
    const made = await client.call('POST', '/repos/octo/shop/check-runs', {
      name: 'guild',
      head_sha,
      external_id: 'act_1',
      status: 'in_progress',
    })
    expect(made).toMatchObject({ status: 201, body: { status: 'in_progress', external_id: 'act_1' } })
    await client.call('PATCH', `/repos/octo/shop/check-runs/${made.body.id}`, { conclusion: 'success' })
    const listed = await client.get(`/repos/octo/shop/commits/${head_sha}/check-runs?check_name=guild`)
    expect(listed.body).toMatchObject({ total_count: 1, check_runs: [{ status: 'completed', conclusion: 'success' }] })
  })
})

describe('echoes', () => {
  it('come as signed webhooks from the bot that wrote', async () => {
    await using hook = await hookServer('s')
    await using client = await Client.open({ webhook: { url: hook.url, secret: 's' } })
    await client.call('POST', comments, { body: 'hello' })
    await client.call('POST', '/repos/octo/shop/issues/12/labels', { labels: ['risk'] })
    await client.call('POST', '/repos/octo/shop/pulls/12/reviews', { event: 'COMMENT', body: 'hm' })
    await client.call('POST', '/repos/octo/shop/issues', { title: 't' })
    await client.call('POST', '/repos/octo/shop/check-runs', { name: 'n', head_sha: 'c', conclusion: 'neutral' })
    await client.sandbox.github.settled()
    const told = hook.got.map(({ event, valid, body }) => [
      event,
      body['action'],
      valid,
      (body as { sender?: { login: string } }).sender?.login,
    ])
    expect(told.toSorted((a, b) => a.join(' ').localeCompare(b.join(' ')))).toEqual([
      ['check_run', 'completed', true, 'guild[bot]'],
      ['check_run', 'created', true, 'guild[bot]'],
      ['issue_comment', 'created', true, 'guild[bot]'],
      ['issues', 'opened', true, 'guild[bot]'],
      ['pull_request', 'labeled', true, 'guild[bot]'],
      ['pull_request_review', 'submitted', true, 'guild[bot]'],
    ])
    expect(new Set(hook.got.map((one) => one.delivery)).size).toBe(6)
  })

  it('that failed are listed and can be sent again under the same id', async () => {
    await using hook = await hookServer('s')
    hook.answer = 503
    await using client = await Client.open({ webhook: { url: hook.url, secret: 's' } })
    await client.call('POST', comments, { body: 'hello' })
    await client.sandbox.github.settled()
    const path = '/repos/octo/shop/hooks/1/deliveries'
    const [failed] = (await client.get(path)).body
    expect(failed).toMatchObject({
      status: 'Invalid HTTP Response: 503',
      status_code: 503,
      event: 'issue_comment',
      redelivery: false,
    })
    hook.answer = 202
    expect((await client.call('POST', `${path}/${failed.id}/attempts`)).status).toBe(202)
    await client.sandbox.github.settled()
    expect((await client.get(path)).body[0]).toMatchObject({ guid: failed.guid, status: 'OK', redelivery: true })
    expect(hook.got[1]?.delivery).toBe(hook.got[0]?.delivery)
  })

  it('to nobody are remembered as failed and hold nothing up', async () => {
    await using client = await Client.open({ webhook: { url: 'http://127.0.0.1:1/webhooks/github', secret: 's' } })
    expect((await client.call('POST', comments, { body: 'hello' })).status).toBe(201)
    await client.sandbox.github.settled()
    expect(client.sandbox.github.deliveries('octo/shop')).toMatchObject([
      { statusCode: 0, status: 'failed to connect to host' },
    ])
  })
})

describe('failures on demand', () => {
  const match = `POST ${comments}`
  it.each([
    ['status-404', 404, null],
    ['status-422', 422, null],
    ['secondary-limit', 403, '7'],
    ['status-429', 429, '7'],
    ['status-500', 500, null],
  ] as const)('%s answers %i, once, and does nothing', async (kind, status, retryAfter) => {
    await using client = await Client.open()
    await client.call('POST', '/_sandbox/faults', { match: 'POST /repos/*/comments', kind, retryAfterSeconds: 7 })
    const failed = await client.call('POST', comments, { body: 'hello' })
    expect([failed.status, failed.headers.get('retry-after')]).toEqual([status, retryAfter])
    expect((await client.get(comments)).body).toEqual([])
    expect((await client.call('POST', comments, { body: 'hello' })).status).toBe(201)
    expect(client.sandbox.github.received()).toMatchObject([
      { status, fault: kind },
      { status: 201, fault: null },
    ])
  })

  it.each([
    ['reset-after-write', null],
    ['hang-after-write', null],
    ['status-500-after-write', 500],
  ] as const)('%s has written all the same', async (kind, status) => {
    await using client = await Client.open()
    client.sandbox.github.fault({ match, kind })
    const sent = fetch(`${client.sandbox.url}${comments}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${sandboxToken}`, 'content-type': 'application/json' },
      body: '{"body":"hello"}',
      signal: AbortSignal.timeout(300),
    })
    const heard = await sent.then(
      (response) => response.status,
      () => null,
    )
    expect(heard).toBe(status)
    expect((await client.get(comments)).body).toMatchObject([{ body: 'hello' }])
    expect(client.sandbox.github.received()).toMatchObject([{ fault: kind, body: { body: 'hello' } }])
  })

  it.each(['reset', 'hang'] as const)('%s never gets to write', async (kind) => {
    await using client = await Client.open()
    client.sandbox.github.fault({ match, kind })
    const sent = fetch(`${client.sandbox.url}${comments}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${sandboxToken}`, 'content-type': 'application/json' },
      body: '{"body":"hello"}',
      signal: AbortSignal.timeout(300),
    })
    await expect(sent).rejects.toThrow()
    expect((await client.get(comments)).body).toEqual([])
    expect(client.sandbox.github.received()).toMatchObject([{ fault: kind, status: 0 }])
  })

  it('slow is slow, and can be called off', async () => {
    await using client = await Client.open()
    client.sandbox.github.fault({ match: '* /repos/*', kind: 'slow', delayMs: 50, times: 5 })
    const startedAt = performance.now()
    expect((await client.get('/repos/octo/shop')).status).toBe(200)
    expect(performance.now() - startedAt).toBeGreaterThan(45)
    expect((await client.get('/_sandbox/faults')).body).toMatchObject([{ left: 4 }])
    await client.call('DELETE', '/_sandbox/faults')
    expect((await client.get('/_sandbox/faults')).body).toEqual([])
  })

  it('that make no sense are refused', async () => {
    await using client = await Client.open()
    expect((await client.call('POST', '/_sandbox/faults', { match: 'everything', kind: 'hang' })).status).toBe(422)
  })
})

describe('what it shows', () => {
  it('is a page that runs nothing of what it was sent', async () => {
    await using client = await Client.open()
    await client.call('POST', comments, { body: '<script>alert(1)</script>' })
    for (const path of ['/_sandbox', '/octo/shop/pull/12']) {
      const page = await client.get(path, { accept: 'text/html' })
      expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
      expect(page.body).toContain('alert(1)')
      expect(page.body).not.toContain('<script')
    }
    expect((await client.get('/_sandbox')).body).toMatchObject({
      writes: 1,
      repositories: [{ full_name: 'octo/shop', pulls: 1, issues: 1 }],
    })
    expect((await client.get('/_sandbox/received')).body).toMatchObject([
      { method: 'POST', path: comments, login: 'guild[bot]', status: 201 },
    ])
  })

  it('records refused writes, too', async () => {
    await using client = await Client.open()
    await client.call('POST', comments, { body: 'x' }, { authorization: 'Bearer nope' })
    expect(client.sandbox.github.received()).toMatchObject([{ status: 401, login: null }])
  })
})
