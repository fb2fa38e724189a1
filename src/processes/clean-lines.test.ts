import { describe, expect, it } from 'vitest'
import { Redactor } from '../guards/privacy/redact.ts'
import { CleanLines } from './clean-lines.ts'
import { logger } from './logger.ts'

const token = `ghp_${'a1B2c3D4e5F6'.repeat(3)}`

/** What a log has written, line by line. */
function recorded() {
  const written: string[] = []
  const log = logger({ logLevel: 'info' }, new Redactor(), { write: (text) => void written.push(text) })
  return {
    log,
    written,
    lines: () =>
      written
        .join('')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
  }
}

function gathering(gatherMs: number) {
  const written: string[] = []
  const more = Promise.withResolvers<void>()
  const destination = {
    write(text: string) {
      written.push(text)
      more.resolve()
    },
  }
  return {
    stream: new CleanLines({ redactor: new Redactor(), destination, gatherMs }),
    written,
    written1: more.promise,
  }
}

const line = (fields: object) => `${JSON.stringify({ level: 30, ...fields })}\n`

describe('CleanLines', () => {
  it.each([
    ['a header', { headers: { authorization: 'x', host: 'h' } }, { headers: { authorization: '[secret]', host: 'h' } }],
    ['a header of a request', { req: { headers: { cookie: 'x' } } }, { req: { headers: { cookie: '[secret]' } } }],
    ['a member', { github: { token: 'x', apiKey: 1 } }, { github: { token: '[secret]', apiKey: '[secret]' } }],
    ['a member at any depth', { a: [{ b: { secret: { c: 'x' } } }] }, { a: [{ b: { secret: '[secret]' } }] }],
  ])('never lets %s with the name of a secret pass, whatever it holds', (_what, fields, shown) => {
    const { log, lines } = recorded()
    log.info(fields, 'a request')
    expect(lines()).toMatchObject([{ level: 30, ...shown, msg: 'a request' }])
  })

  it('takes a secret out of one line and leaves its neighbours as they were', () => {
    const { stream, written } = gathering(60_000)
    const [before, after] = [line({ msg: 'before' }), line({ msg: 'after', eventId: 'evt_1' })]
    for (const one of [before, line({ msg: `pushed with ${token}` }), after]) stream.write(one)
    expect(written).toEqual([])
    stream.flush()
    expect(written).toEqual([`${before}${line({ msg: 'pushed with [secret: github-token]' })}${after}`])
  })

  it.each([
    ['a comment around it', ['a <!-- begins', 'and --> ends']],
    ['a digest before it', ['6dcb09b5b57875f334f61aebed695e2e4193db5e', 'after']],
  ])('finds what a line disguises, in spite of %s', (_what, [before, after]) => {
    const { stream, written } = gathering(60_000)
    const disguised = Buffer.from(`the token ${token}`).toString('base64')
    for (const msg of [before, disguised, after]) stream.write(line({ msg }))
    stream.flush()
    expect(written.join('')).toContain('[secret: github-token]')
    expect(written.join('')).not.toContain(disguised)
  })

  it('writes the lines that come together in one piece and in their order, without being asked', async () => {
    const { stream, written, written1 } = gathering(5)
    const all = Array.from({ length: 50 }, (_, serial) => line({ serial }))
    for (const one of all) stream.write(one)
    await written1
    expect(written).toEqual([all.join('')])
  })

  it('lets no more wait than it can look at while nobody notices', () => {
    const { stream, written } = gathering(60_000)
    for (let serial = 0; serial < 450; serial += 1) stream.write(line({ serial }))
    expect(written.map((text) => text.trimEnd().split('\n').length)).toEqual([200, 200])
    stream.flush()
    expect(written.join('').trimEnd().split('\n')).toHaveLength(450)
  })

  it('withholds a line that is too long or no JSON, and nothing else', () => {
    const { stream, written } = gathering(60_000)
    for (const one of [line({ msg: 'x'.repeat(70_000) }), 'no JSON\n', line({ msg: 'after' })]) stream.write(one)
    stream.flush()
    expect(
      written
        .join('')
        .trimEnd()
        .split('\n')
        .map((text) => JSON.parse(text) as unknown),
    ).toMatchObject([
      { level: 50, msg: expect.stringContaining('withheld') },
      { level: 50, msg: expect.stringContaining('withheld') },
      { level: 30, msg: 'after' },
    ])
  })
})
