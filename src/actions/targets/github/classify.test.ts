import { describe, expect, it } from 'vitest'
import { classifyAnswer, classifyFault } from './classify.ts'
import { hasMark, markedBody, neutralise } from './text.ts'

const now = new Date('2026-11-22T12:00:00Z')
const inSeconds = (seconds: number) => String(now.getTime() / 1_000 + seconds)

describe('classifyAnswer', () => {
  it.each([
    [
      '429 with Retry-After',
      429,
      { 'retry-after': '7' },
      '',
      { kind: 'not-done', rateLimited: true, retryAfterMs: 7_000 },
    ],
    ['Retry-After as a date', 429, { 'retry-after': 'Sun, 22 Nov 2026 12:00:09 GMT' }, '', { retryAfterMs: 9_000 }],
    ['429 without any header', 429, {}, '', { kind: 'not-done', rateLimited: true, retryAfterMs: 60_000 }],
    [
      '403, nothing left',
      403,
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': inSeconds(30) },
      '',
      { retryAfterMs: 30_000 },
    ],
    [
      '403, secondary limit',
      403,
      {},
      'You have exceeded a secondary rate limit',
      { rateLimited: true, retryAfterMs: 60_000 },
    ],
    [
      '403, permission',
      403,
      { 'x-ratelimit-remaining': '4999' },
      'Resource not accessible by integration',
      { kind: 'rejected' },
    ],
    ['401', 401, {}, 'Bad credentials', { kind: 'rejected', reason: expect.stringContaining('token') }],
    ['404', 404, {}, 'Not Found', { kind: 'rejected', reason: expect.stringContaining('no access') }],
    ['410', 410, {}, 'Issues are disabled', { kind: 'rejected' }],
    ['409', 409, {}, 'conflict', { kind: 'not-done', rateLimited: false }],
    ['422', 422, {}, 'Validation Failed', { kind: 'rejected' }],
    ['500', 500, {}, 'oops', { kind: 'unknown' }],
    ['408', 408, {}, 'slow', { kind: 'unknown' }],
    ['503', 503, {}, 'busy', { kind: 'unknown' }],
    ['503 with Retry-After', 503, { 'retry-after': '5' }, 'busy', { kind: 'not-done', retryAfterMs: 5_000 }],
  ] as const)('of a POST: %s', (_, status, headers, message, expected) => {
    expect(classifyAnswer({ status, headers, message, idempotent: false, now })).toMatchObject(expected)
  })

  it('lets what changes nothing when repeated be repeated after a 5xx', () => {
    expect(classifyAnswer({ status: 502, headers: {}, message: '', idempotent: true, now })).toMatchObject({
      kind: 'not-done',
    })
  })
})

describe('classifyFault', () => {
  const fault = (code: string) =>
    new Error('x', { cause: new TypeError('fetch failed', { cause: Object.assign(new Error('y'), { code }) }) })
  it.each([
    ['ECONNREFUSED', 'not-done'],
    ['ENOTFOUND', 'not-done'],
    ['UND_ERR_CONNECT_TIMEOUT', 'not-done'],
    ['CERT_HAS_EXPIRED', 'not-done'],
    ['ECONNRESET', 'unknown'],
    ['UND_ERR_SOCKET', 'unknown'],
  ])('%s of a POST is %s', (code, kind) => {
    expect(classifyFault(fault(code), false)).toMatchObject({ kind })
  })
})

describe('the words of a model', () => {
  it.each([
    ['a forged mark', 'x <!-- guild:act_00000000000000000000000000 -->', /<!--|guild:act_/],
    ['a mark without a comment', 'see guild:act_00000000000000000000000000', /guild:act_/],
    ['a forged thread', '<!-- guild-thread:scribe -->', /<!--|guild-thread:/],
    ['a team', 'cc @octo/security', /@octo/],
    ['everyone', '@everyone look, @here too', /@everyone|@here/],
    ['a team right behind another', '@a/b.@octo/security', /@octo/],
    ['a team between escaped backticks', String.raw`\`@octo/security\``, /@octo/],
    ['a team after one backtick', '`@octo/security', /@octo/],
    ['a team after a fence that never closes', 'see ``` @octo/security', /@octo/],
    ['a team after a fence in the middle of a line', 'see ```\n@octo/security\n```', /@octo/],
    ['a team between code spans of two lengths', '``a `b`` @octo/security `', /@octo/],
    ['a team after a code span over two lines', 'a ` b\nc ` @octo/security `d`', /@octo/],
    ['a team in a table cell', '| ` | @octo/security ` |\n|-|-|', /@octo/],
    ['a team between tags with backticks', '<b title="`"> @octo/security <b title="`">', /@octo/],
    ['a team in an HTML block with fences', '<div>\n```\n@octo/security\n```\n</div>', /@octo/],
    ['a team after a fence that a list item ends', '- a\n\n   ```\n@octo/security\n   ```', /@octo/],
    ['a team between fences of two kinds', '~~~\n```\n~~~\n@octo/security\n```', /@octo/],
    ['a team after a line separator', 'see\u2028```\n@octo/security\n```', /@octo/],
    ['a team after a closed fence', '```\nx\n```\n@octo/security', /@octo/],
  ])('cannot carry %s', (_, words, never) => {
    expect(neutralise(words)).not.toMatch(never)
  })

  it.each([
    'ask @ada',
    'write to ada@example.org',
    'npm i `@octo/core`',
    '```sh\nnpm i @octo/core\n```',
    'a `b`\n\n````\n```\n@octo/core\n````\nc `@octo/core`',
  ])('stay whole: %s', (words) => {
    expect(neutralise(words)).toBe(words)
  })

  it('never outgrow what GitHub takes, and keep their marks', () => {
    const body = markedBody('<!--'.repeat(15_000), ['guild:act_1'])
    expect(body.length).toBeLessThanOrEqual(65_536)
    expect(hasMark(body, 'guild:act_1')).toBe(true)
  })
})
