import { describe, expect, it } from 'vitest'
import { compileCondition } from './condition.ts'
import { globMatches } from './glob.ts'

const payload = {
  additions: 40,
  ratio: 1.5,
  draft: false,
  title: 'Fix the cart',
  labels: ['bug', 'cart'],
  files: [{ filename: 'db/migrations/0001.sql', additions: 3 }, { filename: 'src/cart.ts' }],
}

describe('compileCondition', () => {
  it.each([
    ['payload.additions > 20', true],
    ['payload.additions + 1 == 41', true],
    ['payload.additions / 2 == 20', true],
    ['payload.ratio * 2 == 3.0', true],
    ["'bug' in payload.labels", true],
    ["payload.files.exists(f, f.filename.glob('db/**'))", true],
    ["payload.files.exists(f, f.filename.glob('*.ts') && has(f.additions))", false],
    ["payload.title.matches('^Fix')", true],
    ['payload.?merged.orValue(false)', false],
    ['has(payload.merged) && payload.merged', false],
  ])('evaluates %s to %s', (text, value) => {
    expect(compileCondition(text).test({ payload })).toEqual({ value, error: null })
  })

  it.each([
    ['payload.merged', 'No such key: merged'],
    ['!payload.merged', 'No such key: merged'],
    ['payload.constructor == 1', 'No such key: constructor'],
    ["payload.title > 3 || payload.title.startsWith('x')", 'no such overload: dyn<string> > int'],
    ['payload.title', 'it is neither true nor false'],
    ['context.pr.draft', 'Unknown variable: context'],
  ])('counts %s as false and says why: %s', (text, error) => {
    expect(compileCondition(text).test({ payload })).toEqual({ value: false, error })
  })

  it.each([
    ['an unfinished text', 'payload.additions >', /Unexpected token/],
    ['an unknown name', 'secrets.token == 1', /Unknown variable: secrets/],
    ['an unknown function', 'payload.files.frobnicate()', /frobnicate|overload/],
    ['a number', '1 + 1', /it gives int/],
    ['a long text', `payload.title == '${'x'.repeat(2_000)}'`, /longer than 2000/],
    ['many nodes', Array.from({ length: 250 }, () => '1').join('+'), /maxAstNodes/],
    ['deep nesting', `${'('.repeat(60)}true${')'.repeat(60)}`, /maxDepth/],
  ])('refuses %s', (_, text, why) => {
    expect(() => compileCondition(text)).toThrow(expect.objectContaining({ code: 'GUILD_CEL_INVALID' }))
    expect(() => compileCondition(text)).toThrow(why)
  })

  it('refuses a variable that is not known where the condition stands', () => {
    expect(() => compileCondition('context.pr.draft', ['event', 'payload', 'metadata'])).toThrow(/Unknown variable/)
  })

  it('cuts off an evaluation that would take for ever', () => {
    const many = Array.from({ length: 3_000 }, (_, index) => index)
    const loop = compileCondition('payload.l.all(a, payload.l.all(b, payload.l.all(c, a + b + c >= 0)))')
    expect(loop.test({ payload: { l: many } })).toEqual({ value: false, error: 'it took longer than 250 ms' })
    const regex = compileCondition("payload.text.matches('^(a+)+$')")
    const text = `${'a'.repeat(40)}!`
    expect(regex.test({ payload: { text } })).toEqual({ value: false, error: 'it took longer than 250 ms' })
    expect(regex.test({ payload: { text: 'aaa' } })).toEqual({ value: true, error: null })
  })
})

describe('globMatches', () => {
  it.each([
    ['db/migrations/0001.sql', 'db/**', true],
    ['db/migrations/0001.sql', '**/migrations/**', true],
    ['migrations/1.sql', '**/migrations/**', true],
    ['src/a/b.ts', 'src/*.ts', false],
    ['src/b.ts', 'src/*.ts', true],
    ['packages/x/package-lock.json', '*lock*', true],
    ['src/b.test.ts', '*.test.?s', true],
    ['src/b.ts', 'SRC/**', false],
    ['src/b.ts', '**', true],
    ['', '**/x', false],
  ])('%s against %s: %s', (path, pattern, expected) => {
    expect(globMatches(path, pattern)).toBe(expected)
  })

  it('stays quick on hostile input', () => {
    const started = performance.now()
    expect(globMatches('a'.repeat(4_000), `${'*a'.repeat(60)}b`)).toBe(false)
    expect(globMatches('a/'.repeat(2_000), `${'**/a/'.repeat(30)}b`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(500)
  })
})
