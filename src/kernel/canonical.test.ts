import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { canonical } from './canonical.ts'

// RFC 8785, 3.2.3: the order of its own example
it('sorts names by their UTF-16 units', () => {
  const names = ['\u20ac', '\r', '\ufb33', '1', '\ud83d\ude00', '\u0080', '\u00f6']
  const value = Object.fromEntries(names.map((name) => [name, null]))
  const sorted = ['\r', '1', '\u0080', '\u00f6', '\u20ac', '\ud83d\ude00', '\ufb33']
  expect(canonical(value)).toBe(`{${sorted.map((name) => `${JSON.stringify(name)}:null`).join(',')}}`)
})

it('is one text for one value, which reads as that value, in whatever order its members were set', () => {
  const strings = fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed())
  const values = fc.jsonValue({ stringUnit: 'grapheme' })
  fc.assert(
    fc.property(fc.dictionary(strings, values), (value) => {
      const text = canonical(value)
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
      expect(canonical(Object.fromEntries(Object.entries(value).toReversed()))).toBe(text)
      expect(canonical([value, undefined, value])).toBe(`[${text},null,${text}]`)
    }),
  )
})

it('leaves out members that are not there, and keeps a name that means something to objects', () => {
  expect(canonical({ b: undefined, a: [undefined], z: 0, y: new Date(0) })).toBe(
    '{"a":[null],"y":"1970-01-01T00:00:00.000Z","z":0}',
  )
  expect(canonical(JSON.parse('{"__proto__": 1, "a": 2}'))).toBe('{"__proto__":1,"a":2}')
})

it.each([[Number.NaN], [Number.POSITIVE_INFINITY], ['\ud800'], [{ '\ud800': 1 }], [() => 1], [1n]])(
  'refuses %s, which has no such text',
  (value) => {
    expect(() => canonical({ value })).toThrow(expect.objectContaining({ code: 'GUILD_JSON_NOT_CANONICAL' }))
  },
)
