import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jsonBody } from './json-body.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)

describe('jsonBody', () => {
  it('reads the JSON of a form field called payload', () => {
    const form = new URLSearchParams({ payload: '{"a":"ü & +"}' }).toString()
    expect(jsonBody(bytes(form), true)).toEqual({ kind: 'json', value: { a: 'ü & +' } })
  })

  it.each([
    ['two payloads', 'payload=%7B%7D&payload=%7B%7D', true],
    ['no payload', 'other=1', true],
    ['broken JSON', '{"a":', false],
    ['a list', '[1]', false],
    ['a text', '"a"', false],
    ['null', 'null', false],
    ['nothing', '', false],
    ['a nest deeper than any store writes down', `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, false],
  ])('calls %s unreadable', (_what, text, form) => {
    expect(jsonBody(bytes(text), form).kind).toBe('unreadable')
  })

  it('calls what is not UTF-8 unreadable instead of replacing characters', () => {
    expect(jsonBody(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), false).kind).toBe('unreadable')
  })

  it('gives text that jsonb accepts: no NUL, no lone surrogate', () => {
    expect(jsonBody(bytes('{"a\\u0000":"x\\u0000y\\ud800z"}'), false)).toEqual({
      kind: 'json',
      value: { 'a\uFFFD': 'x\uFFFDy\uFFFDz' },
    })
  })

  it('keeps a member called __proto__ as data', () => {
    const read = jsonBody(bytes('{"__proto__":{"polluted":1}}'), false)
    expect(JSON.stringify(read)).toContain('__proto__')
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it('removes every member called secret', () => {
    const read = jsonBody(bytes('{"alert":{"secret":"ghp_x","secret_type":"t"},"list":[{"secret":"y"}]}'), false)
    expect(read).toEqual({ kind: 'json', value: { alert: { secret_type: 't' }, list: [{}] } })
    expect(jsonBody(bytes('{"a":{"s\\u0065cret":"ghp_x"}}'), false)).toEqual({ kind: 'json', value: { a: {} } })
  })

  it('never throws, and keeps what needs no change', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (raw, form) => {
        jsonBody(raw, form)
      }),
    )
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string().filter((key) => key !== 'secret'),
          fc.jsonValue({ maxDepth: 1 }),
        ),
        (value) => {
          const text = JSON.stringify(value)
          fc.pre(
            text.isWellFormed() && !text.includes('\\u0000') && !text.includes('\\ud') && !text.includes('"secret"'),
          )
          expect(jsonBody(bytes(text), false)).toEqual({ kind: 'json', value: JSON.parse(text) })
        },
      ),
    )
  })
})
