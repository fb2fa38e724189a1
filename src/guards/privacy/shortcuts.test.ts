import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assignmentAt, credentials, isRandom, isStandIn } from './credentials.ts'
import { type Finding, matchesOf } from './finding.ts'
import { anchoredIn, keyShapes, providerKeys } from './provider-keys.ts'

/** Detectors look for marks before they look for secrets. Here each is held against the same search without that shortcut. */
const anchors = keyShapes.flatMap((shape) => shape.anchors)
const value = 'aB3dE5gH7jK9mN1pQ3sT5vW7'
const pieces = [
  ['pass', 'passw', 'passwd', 'password', 'passphrase', 'pwd', 'secret', 'token', 'credential', 'api', 'access', '_'],
  ['key', 'KEY', 'Key', 'toKen', 'ſecret', 'SecretToken', 'secretoken', 'bearer', 'Basic', 'bearer\t', 'bearer '],
  ['=', ': ', ' => ', '":"', '\\":\\"', '://', 'a:', '@', '@host', ' ', '\n', '.', 'ghp', 'sk-ant-', 'é', '⟦', '😀'],
  [value, value.toLowerCase(), 'x'.repeat(20), '123456789', 'A'.repeat(16), 'hunter2!', 'f'.repeat(40)],
  anchors,
].flat()
const texts = fc
  .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 4, unit: 'binary' })), { maxLength: 14 })
  .map((some) => some.join(''))
const many = { numRuns: 5_000 }

describe('shortcuts of detectors', () => {
  it('look for the keys of every vendor that has an anchor in the text', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const slow = keyShapes.filter((shape) => shape.anchors.some((anchor) => text.includes(anchor)))
        expect(new Set(anchoredIn(text))).toEqual(new Set(slow))
      }),
      many,
    )
  })

  it.each(anchors)('see %s, also inside of another anchor', (anchor) => {
    for (const text of [anchor, `sk-sk-${anchor}`, `xSS${anchor}x`, `${anchor.slice(0, -1)}${anchor}`]) {
      expect([...anchoredIn(text)].flatMap((shape) => shape.anchors)).toContain(anchor)
    }
  })

  it('find every key that a pattern finds alone', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const slow = keyShapes.flatMap(({ kind, pattern }) => matchesOf(text, pattern, { class: 'secrets', kind }))
        expect(sorted(providerKeys.find(text))).toEqual(sorted(slow))
      }),
      many,
    )
  })

  it('find every credential that a look at each place and each whole pattern finds', () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(sorted(credentials.find(text))).toEqual(sorted(slowly(text)))
      }),
      many,
    )
  })

  it.each([`secretoken=${value}`, `bearer basic ${value}`, `x Bearer\t${value}`, `a://b:c3d@e://${value}@f`])(
    'find what stands behind a mark inside of a mark: %j',
    (text) => {
      expect(sorted(credentials.find(text))).toEqual(sorted(slowly(text)))
      expect(credentials.find(text)).not.toEqual([])
    },
  )
})

function slowly(text: string): readonly Finding[] {
  const found: Finding[] = []
  for (const core of ['passw', 'passphrase', 'pwd', 'secret', 'token', 'credential', 'key']) {
    for (let at = 0; at < text.length; at += 1) {
      const begins = text.slice(at, at + core.length).toLowerCase() === core
      const finding = begins ? assignmentAt(text, at, core) : null
      if (finding) found.push(finding)
    }
  }
  const url = { class: 'secrets', kind: 'url-password' } as const
  const isPassword = (password: string) => !isStandIn(password)
  return [
    ...found,
    ...matchesOf(text, /:\/\/[^\s:@/?#"'<>]{0,128}:([^\s@/"'<>]{3,256})@/g, url, isPassword),
    ...matchesOf(text, /:\/\/([A-Za-z0-9_-]{20,128})@/g, url, isRandom),
    ...matchesOf(
      text,
      /(?:bearer|basic)[ \t]{1,3}([A-Za-z0-9+/_.~=-]{16,2048})/gi,
      { class: 'secrets', kind: 'credential' },
      isRandom,
    ),
  ]
}

function sorted(found: readonly Finding[]): readonly string[] {
  return found.map((finding) => JSON.stringify(finding)).toSorted()
}
