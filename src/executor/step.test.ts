import { expect, it } from 'vitest'
import { storable, storableText } from './step.ts'

class Spoken {
  readonly inner = 1
  toJSON(): object {
    return { said: 'so' }
  }
}

const deep = Array.from({ length: 200 }).reduce<unknown>((inner) => ({ inner: [inner] }), 'a\u0000b')

it.each([
  ['nothing', undefined],
  ['numbers that JSON has no word for', [Number.NaN, Number.POSITIVE_INFINITY, -0, 1.5]],
  ['members and items that are not there', { a: undefined, b: [undefined, () => 1], c: null }],
  [
    'what a row cannot hold, in texts and in names',
    { 'k\u0000\ud800': ['\udc00 \u0000', '\ud83d\ude00', String.raw`\u0000`] },
  ],
  ['what says itself how it is written', { at: new Date(0), spoken: new Spoken(), map: new Map([[1, 2]]) }],
  ['a name that means something to objects', JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}')],
  ['values inside values inside values', deep],
])('keeps a value as its JSON would be read: %s', (_, value) => {
  const kept = storable(value)
  expect(JSON.stringify(kept)).toBe(JSON.stringify(JSON.parse(storableText(value))))
  expect(kept).toEqual(JSON.parse(storableText(value)))
})
