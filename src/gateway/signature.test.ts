import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Secret } from '../kernel/secret.ts'
import { verifyHmac } from './signature.ts'

const scheme = { algorithm: 'sha256', prefix: 'sha256=' } as const
const published = new Secret("It's a Secret to Everybody")
const body = Buffer.from('Hello, World!')
const good = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'

describe('verifyHmac', () => {
  it.each([
    ['GitHub docs', 'Hello, World!', good],
    ['Atlassian docs', 'Hello World!', 'sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9'],
  ])('accepts the vector published in the %s', (_where, text, header) => {
    expect(verifyHmac(scheme, header, Buffer.from(text), [published])).toEqual({ kind: 'verified', keyIndex: 0 })
  })

  it('says which secret of a set matched, so that a rotation can be followed', () => {
    expect(verifyHmac(scheme, good, body, [new Secret('old'), published, new Secret('next')])).toEqual({
      kind: 'verified',
      keyIndex: 1,
    })
  })

  it('reads upper-case hex', () => {
    expect(verifyHmac(scheme, `sha256=${good.slice(7).toUpperCase()}`, body, [published]).kind).toBe('verified')
  })

  it.each([
    ['another body', good, Buffer.from('Hello, World?')],
    ['a truncated signature', good.slice(0, -2), body],
    ['a longer signature', `${good}00`, body],
    ['a repeated header', `${good}, ${good}`, body],
    ['no prefix', good.slice(7), body],
    ['another method', good.replace('sha256=', 'sha1='), body],
    ['no hex', `sha256=${'g'.repeat(64)}`, body],
    ['an empty digest', 'sha256=', body],
  ])('refuses %s', (_what, header, signed) => {
    expect(verifyHmac(scheme, header, signed, [published])).toEqual({
      kind: 'refused',
      code: 'GUILD_SIGNATURE_INVALID',
    })
  })

  it('tells an unsigned delivery from a forged one', () => {
    expect(verifyHmac(scheme, undefined, body, [published])).toEqual({
      kind: 'refused',
      code: 'GUILD_SIGNATURE_MISSING',
    })
  })

  it.each([
    ['no secret', []],
    ['an empty secret', [new Secret('')]],
    ['blank secrets', [new Secret(' '), new Secret('\n')]],
  ])('fails closed with %s, even when the delivery is signed with the empty key', (_what, secrets) => {
    const header = `sha256=${createHmac('sha256', '').update(body).digest('hex')}`
    expect(verifyHmac(scheme, header, body, secrets)).toEqual({ kind: 'refused', code: 'GUILD_SOURCE_SECRET_MISSING' })
  })

  it('never lets an empty secret of a set match', () => {
    const header = `sha256=${createHmac('sha256', '').update(body).digest('hex')}`
    expect(verifyHmac(scheme, header, body, [new Secret(''), published]).kind).toBe('refused')
  })
})
