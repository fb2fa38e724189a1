import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { connector } from '../../codex/kind-connector.ts'
import { hintedClass } from '../../codex/tool-lock.ts'
import { silentLog } from '../../kernel/log.ts'
import { Secret } from '../../kernel/secret.ts'
import { mcpTools } from '../mcp/mcp-tools.ts'
import { resultBytesMax } from '../tools.ts'
import type { ToolResult } from '../tools.ts'
import { builtinGithub, githubAccess } from './builtin-github.ts'

const signal = new AbortController().signal
const file = (spec: object) =>
  connector.parse({
    apiVersion: 'guild/v1',
    kind: 'Connector',
    metadata: { name: 'github' },
    spec: { system: 'github', ...spec },
  })
const builtin = file({ tools: { builtin: 'github' } })

describe('the built-in GitHub server', () => {
  it('offers reads only', async () => {
    await using github = await start({})
    const tools = await github.session.list('github')
    expect(tools.map(({ name }) => name)).toEqual([
      'github.get_pull_request',
      'github.list_pull_request_files',
      'github.list_commits',
      'github.get_issue',
      'github.list_comments',
      'github.get_file',
      'github.compare',
      'github.list_pull_requests',
    ])
    expect(tools.every((tool) => tool.builtin && hintedClass(tool) === 'read')).toBe(true)
  })

  it('reads a pull request as a member’s when its author is one', async () => {
    await using github = await start({ '/repos/octo/shop/pulls/7': pull({}) })
    const { data, integrity, isError } = await github.call('get_pull_request', { repo: 'octo/shop', number: 7 })
    expect(data).toMatchObject({ number: 7, author: 'ada', body: 'Why.', labels: ['bug'], from_fork: false })
    expect(data).not.toHaveProperty('_links')
    expect([integrity, isError]).toEqual(['member', false])
    expect(github.requests[0]?.headers).toMatchObject({
      authorization: 'Bearer token-1',
      'x-github-api-version': '2022-11-28',
    })
  })

  it('labels an outsider’s words, also in patches and among others’ comments', async () => {
    const comment = (user: string, author_association: string) => ({
      id: 1,
      user: { login: user },
      author_association,
      body: 'x',
    })
    await using github = await start({
      '/repos/octo/shop/pulls/7': pull({
        author_association: 'FIRST_TIME_CONTRIBUTOR',
        head: { ref: 'x', sha: 'b', repo: null },
      }),
      '/repos/octo/shop/pulls/7/files': [
        { filename: 'a.ts', status: 'added', additions: 1, deletions: 0, patch: '+evil' },
      ],
      '/repos/octo/shop/issues/7/comments': [comment('ada', 'OWNER'), comment('mallory', 'NONE')],
      '/repos/octo/shop/compare/main...mallory%3Amain': comparison,
      '/repos/octo/shop/compare/v1...main': comparison,
    })
    const at = { repo: 'octo/shop', number: 7 }
    const files = await github.call('list_pull_request_files', at)
    expect(files).toMatchObject({
      integrity: 'outsider',
      data: { files: [{ filename: 'a.ts', patch: '+evil' }], more: false },
    })
    expect((await github.call('get_pull_request', at)).data).toMatchObject({ from_fork: true })
    expect((await github.call('list_comments', at)).integrity).toBe('outsider')
    const compare = (base: string, head: string) => github.call('compare', { repo: 'octo/shop', base, head })
    expect((await compare('main', 'mallory:main')).integrity).toBe('outsider')
    expect(await compare('v1', 'main')).toMatchObject({
      integrity: 'member',
      data: { ahead_by: 1, merge_base_commit: 'c' },
    })
  })

  it('takes a commit for a member’s only where a branch of the repository holds it: forks share its hashes', async () => {
    const [merged, head, forks] = ['a'.repeat(40), 'b'.repeat(40), 'c'.repeat(40)] as const
    const file = { type: 'file', path: 'a.md', sha: 's', size: 2, encoding: 'base64', content: 'aGk=' }
    const holding = (sha: string, heads: readonly object[], status: string) => ({
      [`/repos/octo/shop/contents/a.md?ref=${sha}`]: file,
      [`/repos/octo/shop/commits/${sha}/branches-where-head`]: heads,
      [`/repos/octo/shop/compare/HEAD...${sha}`]: { status },
    })
    const unknown = { '/repos/octo/shop/contents/a.md?ref=dddd': file }
    await using github = await start({
      ...holding(merged, [], 'behind'),
      ...holding(head, [{ name: 'topic' }], 'diverged'),
      ...holding(forks, [], 'diverged'),
      ...unknown,
    })
    const integrityAt = async (ref: string) => {
      const { integrity, isError } = await github.call('get_file', { repo: 'octo/shop', path: 'a.md', ref })
      expect(isError).toBe(false)
      return integrity
    }
    expect(await integrityAt(merged)).toBe('member')
    expect(await integrityAt(head)).toBe('member')
    expect(await integrityAt(forks)).toBe('outsider')
    expect(await integrityAt('dddd')).toBe('outsider')
  })

  it('reads no path that leaves the repository, however it is written', async () => {
    await using github = await start({ '/repos/octo/other/contents/a': [] })
    const path = '\n/../../../other/contents/a'
    expect(await github.call('get_file', { repo: 'octo/shop', path })).toMatchObject({ isError: true })
    expect(github.requests).toEqual([])
  })

  it('reads files as text, folders as entries, and says what has no text', async () => {
    const content = (bytes: Buffer) => ({
      type: 'file',
      path: 'a b.ts',
      sha: 's',
      size: bytes.length,
      encoding: 'base64',
      content: bytes.toString('base64'),
    })
    await using github = await start({
      '/repos/octo/shop/contents/src/a%20b.ts?ref=main': content(Buffer.from('héllo')),
      '/repos/octo/shop/contents/logo.png': content(Buffer.from([1, 0, 2])),
      '/repos/octo/shop/contents/src': [{ name: 'a', path: 'src/a', type: 'file', size: 3 }],
    })
    const read = async (path: string, ref?: string) =>
      (await github.call('get_file', { repo: 'octo/shop', path, ...(ref && { ref }) })).data
    expect(await read('src/a b.ts', 'main')).toMatchObject({ text: 'héllo', size: 6 })
    expect(await read('logo.png')).toMatchObject({ text: null, why: 'binary' })
    expect(await read('src')).toMatchObject({ type: 'dir', entries: [{ path: 'src/a' }] })
  })

  it.each([
    ['get_file', { repo: 'octo/shop', path: '../../../user' }],
    ['get_file', { repo: 'octo/shop', path: 'a/..' }],
    ['get_issue', { repo: '../user', number: 1 }],
    ['get_issue', { repo: 'octo/..', number: 1 }],
    ['get_issue', { repo: 'octo/shop/../../user', number: 1 }],
    ['get_issue', { repo: 'octo/shop', number: 1, extra: true }],
  ])('refuses %s of %o before anything is sent', async (tool, args) => {
    await using github = await start({})
    expect((await github.call(tool, args)).isError).toBe(true)
    expect(github.requests).toEqual([])
  })

  it('follows pages to a bound, and says that there are more', async () => {
    const files = Array.from({ length: 100 }, (_, n) => ({
      filename: `f${n}`,
      status: 'modified',
      patch: `+${'\u0001ü'.repeat(4_500)}`,
    }))
    await using github = await start(
      { '/repos/octo/shop/pulls/7': pull({}), '/repos/octo/shop/pulls/7/files': files },
      { link: '<https://api.github.com/next>; rel="next"' },
    )
    const { data, truncated, text } = await github.call('list_pull_request_files', { repo: 'octo/shop', number: 7 })
    expect(data).toMatchObject({ more: true })
    expect((data as { files: unknown[] }).files).toHaveLength(300)
    expect(truncated).toBe(false)
    expect(Buffer.byteLength(text)).toBeLessThan(resultBytesMax)
    expect(text).toContain('[cut, 9001 characters]')
  })

  const refusals: readonly [number, Record<string, string>, string, RegExp][] = [
    [
      403,
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1800000000' },
      'API rate limit exceeded',
      /limits the rate; try again after 2027-01-15T/,
    ],
    [403, { 'retry-after': '60' }, 'You have exceeded a secondary rate limit', /limits the rate; try again in 60 s/],
    [429, {}, 'Too many', /limits the rate; try again in a minute/],
    [403, {}, 'Resource not accessible by integration', /the token may not read .*issues\/1 \(Resource not/],
    [401, {}, 'Bad credentials', /does not accept the token/],
    [404, {}, 'Not Found', /GitHub has no \/repos\/octo\/shop\/issues\/1, or the token may not see it/],
    [502, {}, 'Server Error', /GitHub answered 502/],
  ]
  it.each(refusals)('says what a %i with %o means', async (status, headers, message, expected) => {
    await using github = await start({}, headers, { status, message })
    const result = await github.call('get_issue', { repo: 'octo/shop', number: 1 })
    expect(result).toMatchObject({ isError: true, integrity: 'member' })
    expect(result.text).toMatch(expected)
    expect(github.requests).toHaveLength(status >= 500 ? 2 : 1)
  })
})

it('serves any MCP client over stdin and stdout', async () => {
  const module = new URL('github-server.ts', import.meta.url).href
  const code = `import { serveGithubMcp } from '${module}'; await serveGithubMcp({ apiUrl: 'http://127.0.0.1:9', token: null })`
  const args = ['--input-type=module', '-e', code]
  const tools = mcpTools({ builtin: {}, variable: (name) => process.env[name], log: silentLog })
  await using session = tools.open(new Map([['gh', file({ tools: { command: process.execPath, args } })]]))
  expect((await session.list('gh')).map(({ name }) => name)).toContain('gh.get_pull_request')
})

describe('githubAccess', () => {
  const settings = { githubApiUrl: 'https://api.github.com', githubToken: new Secret('main') }
  const token = (spec: object, env: Record<string, string> = {}) =>
    githubAccess(file(spec), { settings, variable: (name) => env[name] }).token?.reveal() ?? null

  it('takes the connector’s own token, never another account’s in its place', () => {
    expect(token({})).toBe('main')
    expect(token({ token: 'GITHUB_TOKEN' })).toBe('main')
    expect(token({ token: 'OTHER' }, { OTHER: 'own' })).toBe('own')
    expect(token({ token: 'OTHER' })).toBeNull()
  })
})

const comparison = {
  status: 'ahead',
  ahead_by: 1,
  behind_by: 0,
  total_commits: 1,
  merge_base_commit: { sha: 'c' },
  commits: [{ sha: 'd', commit: { message: 'm', author: null }, author: null, html_url: 'u' }],
  html_url: 'u',
}

function pull(change: object): object {
  const repo = { full_name: 'octo/shop' }
  return {
    number: 7,
    title: 'Fix it',
    state: 'open',
    user: { login: 'ada' },
    author_association: 'MEMBER',
    body: 'Why.',
    labels: [{ name: 'bug' }],
    base: { ref: 'main', sha: 'a', repo },
    head: { ref: 'fix', sha: 'b', repo },
    _links: { self: {} },
    ...change,
  }
}

/** A loopback GitHub with fixed answers, read through the whole way: session, client, in-memory link, server, fetch. */
async function start(
  answers: Record<string, unknown>,
  headers: Record<string, string> = {},
  failure?: { status: number; message: string },
) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    const url = request.url ?? ''
    const bare = url.replace(/[?&](per_page|page)=\d+/g, '').replace(/\?$/, '')
    const body = answers[bare]
    const status = failure?.status ?? (body === undefined ? 404 : 200)
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body ?? { message: failure?.message ?? 'Not Found' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const settings = {
    githubApiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    githubToken: new Secret('token-1'),
  }
  const variable = () => undefined
  const tools = mcpTools({ builtin: { github: builtinGithub({ settings, variable }) }, variable, log: silentLog })
  const session = tools.open(new Map([['github', builtin]]))
  return {
    session,
    requests,
    call: (tool: string, args: Record<string, unknown>): Promise<ToolResult> =>
      session.call(`github.${tool}`, args, { signal, timeoutMs: 10_000 }),
    async [Symbol.asyncDispose]() {
      await session[Symbol.asyncDispose]()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
