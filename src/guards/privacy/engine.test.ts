import { array, assert, constantFrom, property, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DetectorClass, detectorClasses } from '../../kernel/data-class.ts'
import { hashId, sha256 } from '../../kernel/ids.ts'
import { privacyEngine, scanText } from './engine.ts'

const engine = privacyEngine({ known: ['Zq8vR2mN5xK7pT1wJ4hL9cF3'] })
const everything: ReadonlySet<DetectorClass> = new Set(detectorClasses)
// Put together here, so that scanners of repositories do not take fixtures for keys.
const body = (length: number) => 'aB3dE5gH7jK9mN1pQ2sT4vW6xY8zC0fR'.repeat(8).slice(0, length)
const hex = (length: number) => '0a1b2c3d4e5f60718293a4b5c6d7e8f9'.repeat(4).slice(0, length)
const jwt = [`{"alg":"HS256"}`, `{"sub":"ada"}`].map((part) => Buffer.from(part).toString('base64url')).join('.')
const pem = `-----BEGIN RSA PRIVATE KEY-----\n${body(64)}\n${body(64)}\n-----END RSA PRIVATE KEY-----`

describe('secrets', () => {
  it.each<[kind: string, secret: string]>([
    ['github-token', `ghp_${body(36)}`],
    ['github-token', `ghs_${body(36)}`],
    ['github-token', `github_pat_${body(22)}_${body(59)}`],
    ['gitlab-token', `glpat-${body(20)}`],
    ['slack-token', `xoxb-123456789012-${body(24)}`],
    ['slack-token', `xapp-1-A0-${body(20)}`],
    ['slack-webhook', `T0${body(8)}/B0${body(8)}/${body(24)}`],
    ['aws-access-key', `AKIA${'IOSFODNN7EXAMPLE'.slice(0, 16)}`],
    ['google-api-key', `AIza${body(35)}`],
    ['google-oauth-secret', `GOCSPX-${body(28)}`],
    ['anthropic-key', `sk-ant-api03-${body(90)}`],
    ['openai-key', `sk-proj-${body(60)}`],
    ['openai-key', `sk-${body(48)}`],
    ['stripe-key', `sk_live_${body(24)}`],
    ['stripe-webhook-secret', `whsec_${body(32)}`],
    ['npm-token', `npm_${body(36)}`],
    ['pypi-token', `pypi-AgEIcHlwaS5vcmc${body(80)}`],
    ['twilio-key', `SK${hex(32)}`],
    ['sendgrid-key', `SG.${body(22)}.${body(43)}`],
    ['digitalocean-token', `dop_v1_${hex(64)}`],
    ['vault-token', `hvs.${body(90)}`],
    ['telegram-token', `123456789:AA${body(33)}`],
    ['guild-key', `guild_${body(43)}`],
    ['jwt', `${jwt}.${body(43)}`],
    ['private-key', pem],
    ['private-key', pem.replaceAll('\n', String.raw`\n`)],
    ['own-secret', 'Zq8vR2mN5xK7pT1wJ4hL9cF3'],
    ['own-secret', 'xK7pT1wJ4hL9cF3'],
  ])('finds a %s', (kind, secret) => {
    const around = kind === 'slack-webhook' ? 'https://hooks.slack.com/services/' : 'see '
    const text = `${around}${secret} there`
    expect(found(text)).toEqual([[kind, secret]])
  })

  it.each<[kind: string, text: string, secret: string]>([
    ['credential', 'API_KEY=9f8a7b6c5d4e3f2a1b0c', '9f8a7b6c5d4e3f2a1b0c'],
    ['credential', 'aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCY'],
    ['credential', '{"client_secret": "a8f5f167f44f4964e6c998de"}', 'a8f5f167f44f4964e6c998de'],
    ['credential', String.raw`{\"token\":\"a8f5f167f44f4964e6c998de\"}`, 'a8f5f167f44f4964e6c998de'],
    ['credential', 'Authorization: Bearer abcd1234efgh5678IJKL', 'abcd1234efgh5678IJKL'],
    ['password', 'password: hunter2hunter', 'hunter2hunter'],
    ['password', "+  PGPASSWORD='correct-horse!'", 'correct-horse!'],
    ['url-password', 'postgres://app:s3cr3t@db.internal/shop', 's3cr3t'],
  ])('finds a %s by what stands before it: %s', (kind, text, secret) => {
    expect(found(text, new Set(['secrets']))).toEqual([[kind, secret]])
  })

  const token = `ghp_${body(36)}`
  const codes = Array.from(token, (character) => character.charCodeAt(0))
  it.each<[string, string]>([
    ['cut in two by an HTML comment', `ghp_${body(10)}<!-- and then -->${body(36).slice(10)}`],
    ['cut in two inside an HTML comment', `<!-- ghp_${body(10)}<!-- -->${body(36).slice(10)} -->`],
    ['cut in two by a tag', `ghp_${body(10)}<b></b>${body(36).slice(10)}`],
    ['with selectors of variants inside', token.replaceAll(/(?!^)/g, '\u{E0121}\uFE03')],
    ['with fillers inside', token.replaceAll(/(?!^)/g, '\u034F\u3164')],
    ['with invisible characters inside', token.replaceAll(/(?!^)/g, '\u200b')],
    ['in percent escapes', codes.map((code) => `%${code.toString(16)}`).join('')],
    ['in character references', codes.map((code) => `&#${code};`).join('')],
    ['in JavaScript escapes', `\\u0067\\x68${token.slice(2)}`],
    ['in full-width letters', token.replace('ghp', 'ｇｈｐ')],
    ['glued from two strings', `ghp_${body(10)}" + "${body(36).slice(10)}`],
    ['in base64', Buffer.from(`the token: ${token}`).toString('base64')],
    ['in base64 twice', Buffer.from(Buffer.from(token).toString('base64')).toString('base64')],
    ['in base64 of lines', Buffer.from(`${token} `.repeat(4)).toString('base64').replaceAll(/.{76}/g, '$&\n')],
    ['in base64 between bytes that are no text', Buffer.from(`\u0001\u0002${token} é`).toString('base64')],
    ['in padded base64 of the kind for URLs', Buffer.from(`?>${token}>?ab`).toString('base64').replaceAll('/', '_')],
    ['in base64 with a word before', `data/${Buffer.from(token).toString('base64')}`],
    ['in hexadecimal', Buffer.from(token).toString('hex')],
  ])('finds a token %s', (_, hidden) => {
    const [first, ...more] = found(`x ${hidden} y`)
    expect(first?.[0]).toBe('github-token')
    expect(more).toEqual([])
    expect(hidden).toContain(first?.[1])
    // Nothing of it is left beside the finding that would help anybody.
    expect(hidden.length - (first?.[1].length ?? 0)).toBeLessThan(10)
  })

  it.each<[string, string]>([
    ['a commit', 'fixed in 021c974f0e1d2c3b4a5968778695a4b3c2d1e0f9'],
    ['a digest', `sha256:${sha256('x')} and sha512-${Buffer.from(sha256('y')).toString('base64').slice(0, 20)}`],
    ['a UUID', 'request 550e8400-e29b-41d4-a716-446655440000'],
    ['a version', 'bump token: 1.2.3-rc.1 and v10.12.13'],
    ['an issue', 'closes #12345, octo/shop#12'],
    ['ids of ours', `${hashId('evt', 'a')} ${hashId('inv', 'b')} <!-- guild:${hashId('act', 'c')} -->`],
    ['an id of ours under the name of a key', `token: ${hashId('act', 'c')}, guild:${hashId('act', 'd')}`],
    ['a variable that names a secret', 'token: ${{ secrets.GITHUB_TOKEN }}, secret: GITHUB_WEBHOOK_SECRET'],
    ['code that reads one', 'const password = process.env.DB_PASSWORD1; token = await getToken(user2)'],
    ['a stand-in', 'password: <password>, api_key: your-api-key-123, token=xxxxxxxxxxxx1'],
    ['a count', 'tokens: 60000, maxTokens: 3000, token_count=123456789012'],
    ['a cache key', 'key: node-modules-24-linux-x64-a1b2c3d4, cacheKey=a1b2c3d4e5f6a7b8'],
    ['a public key', `-----BEGIN PUBLIC KEY-----\n${body(64)}\n-----END PUBLIC KEY-----`],
    [
      'an address without a password',
      'https://example.com:8080/a@b postgres://localhost:5432/db git@github.com:octo/shop',
    ],
    ['a word with a prefix', 'task-force-of-the-year, ghp_ and xoxb- are prefixes, risk-management-department-2026'],
    ['what the guard leaves', '[secret: github-token] and ⟪email-1⟫'],
  ])('lets pass %s', (_, text) => {
    expect(found(text, new Set(['secrets']))).toEqual([])
  })
})

describe('personal data', () => {
  it.each<[DetectorClass, text: string, value: string]>([
    ['email', 'ask <Ada.Lovelace+x@mail.example.co.uk>.', 'Ada.Lovelace+x@mail.example.co.uk'],
    ['phone', 'call +49 (0)171 123-4567 now', '+49 (0)171 123-4567'],
    ['phone', 'at (555) 234-5678,', '(555) 234-5678'],
    ['phone', 'Tel.: 0171 1234567', '0171 1234567'],
    ['iban', 'to DE89 3704 0044 0532 0130 00 today', 'DE89 3704 0044 0532 0130 00'],
    ['iban', 'GB29NWBK60161331926819', 'GB29NWBK60161331926819'],
    ['card', 'card 4111 1111 1111 1111.', '4111 1111 1111 1111'],
    ['card', '378282246310005', '378282246310005'],
    ['ip', 'from 192.168.17.4:8080', '192.168.17.4'],
    ['ip', 'from 2001:db8::ff00:42:8329', '2001:db8::ff00:42:8329'],
  ])('finds %s in “%s”', (kind, text, value) => {
    expect(found(text)).toEqual([[kind, value]])
  })

  it.each<[string, string]>([
    ['an IBAN with a wrong digit', 'DE88 3704 0044 0532 0130 00'],
    ['a card number with a wrong digit', '4111 1111 1111 1112'],
    ['a number that passes Luhn but is of no issuer', '1000000000000008'],
    ['a time and a hardware address', '12:34:56 aa:bb:cc:dd:ee:ff std::vector'],
    ['this machine', '127.0.0.1 0.0.0.0 ::1'],
    ['versions', 'v1.2.3.4 1.2.3 300.1.1.1'],
    ['dates, UUIDs and sums', '2026-11-22 550e8400-e29b-41d4-a716-446655440000 1+12345'],
    ['packages, files and remotes', '@types/node@1.2.3 icon@2x.png git@github.com:octo/shop noreply@github.com'],
    ['a handle', 'thanks @ada-lovelace'],
  ])('lets pass %s', (_, text) => {
    expect(found(text)).toEqual([])
  })
})

describe('hostile text', () => {
  const pieces = [
    'eyJ',
    'ghp_',
    '-----BEGIN PRIVATE KEY-----',
    '<!--',
    '-->',
    '%41',
    '&#65;',
    '://a:',
    '@',
    'a.b',
    '+1 ',
    'DE89 ',
    '4111 ',
  ]
  const more = [
    'token=',
    'password: ',
    'bearer ',
    '1.1.',
    '::',
    'sk-',
    '" + "',
    'A',
    'a',
    '0',
    '=',
    '\n',
    '\u200b',
    'AKIA',
    'SG.aaaaaaaaaaaaaaaaaaaa',
  ]

  it('of 256 KB takes a bounded time, whatever is repeated in it', () => {
    const times = [...pieces, ...more, 'tokentoken=', 'github_pat_a', 'a'.repeat(23) + ' ', 'x_token=token=real1'].map(
      (piece) => {
        const text = piece.repeat(Math.ceil(262_144 / piece.length))
        const started = process.threadCpuUsage()
        scanText(engine, text, everything)
        return { piece, ms: process.threadCpuUsage(started).user / 1000 }
      },
    )
    // Of this thread, not of the clock: build servers are busy. Linear is 200 ms at most; anything quadratic would take minutes.
    expect(times.filter(({ ms }) => ms > 3_000)).toEqual([])
  }, 60_000)

  it('gives findings in order, inside the text and apart from each other', () => {
    const words = array(constantFrom(...pieces, ...more, `ghp_${body(36)}`, 'ada@example.com', ' '), { maxLength: 40 })
    assert(
      property(words, string(), (parts, tail) => {
        const text = `${parts.join('')}${tail}`
        let last = 0
        for (const { start, end } of scanText(engine, text, everything)) {
          expect(start).toBeGreaterThanOrEqual(last)
          expect(end).toBeGreaterThan(start)
          last = end
        }
        expect(last).toBeLessThanOrEqual(text.length)
      }),
      { numRuns: 300 },
    )
  })

  it('hides no token, whatever stands around it', () => {
    const token = `ghp_${body(36)}`
    assert(
      property(string(), string(), (before, after) => {
        const text = `${before} ${token} ${after}`
        const cleaned = scanText(engine, text, everything).reduceRight(
          (rest, { start, end }) => rest.slice(0, start) + rest.slice(end),
          text,
        )
        expect(cleaned).not.toContain(token.slice(4, 24))
      }),
    )
  })
})

function found(text: string, classes: ReadonlySet<DetectorClass> = everything): readonly [string, string][] {
  return scanText(engine, text, classes).map(({ kind, start, end }) => [kind, text.slice(start, end)])
}
