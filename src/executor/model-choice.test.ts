import { describe, expect, it } from 'vitest'
import type { ModelChoice } from '../llm/llm.ts'
import { type ModelFailure, pickModel } from './model-choice.ts'

const down = 'GUILD_LLM_UNAVAILABLE'

function pick(
  prefer: readonly string[],
  failures: readonly string[],
  answered: string | null = null,
  out: string[] = [],
) {
  const candidates = prefer.map((alias) => ({ alias: alias.replace('!', ''), choice: choice(alias) }))
  const failed = failures.map((alias): ModelFailure => ({ alias, code: down, error: `${alias} is down` }))
  return pickModel(candidates, failed, new Map(out.map((alias) => [alias, 'wrong key'])), answered)
}

function choice(alias: string): ModelChoice | { unavailable: string } {
  if (alias.endsWith('!')) return { unavailable: 'no key' }
  return { alias, provider: alias, model: alias, contextTokens: 1_000, price: null }
}

describe('pickModel', () => {
  it.each([
    ['the first that is configured', ['a!', 'b', 'c'], [], null, 'b'],
    ['the same again after one failure', ['a', 'b'], ['a'], null, 'a'],
    ['the next after two failures', ['a', 'b'], ['a', 'a'], null, 'b'],
    ['the first again when the last has failed twice too', ['a', 'b'], ['a', 'a', 'b', 'b'], null, 'a'],
    ['what answered before, even if it is not the first', ['a', 'b'], [], 'b', 'b'],
    ['rules when the manifest names them after what fails', ['a', 'rules'], ['a', 'a'], null, 'rules'],
    ['the only model to the end', ['a'], ['a', 'a', 'a', 'a', 'a'], null, 'a'],
  ])('takes %s', (_, prefer, failures, answered, expected) => {
    expect(pick(prefer, failures, answered)).toMatchObject({ kind: 'call', choice: { alias: expected } })
  })

  it('gives up after six failures, with the reason of the last', () => {
    expect(pick(['a'], ['a', 'a', 'a', 'a', 'a', 'a'])).toEqual({ kind: 'none', why: 'a is down (6 attempts)' })
  })

  it('never uses a model again that was ruled out, and says why', () => {
    expect(pick(['a', 'b'], [], 'a', ['a'])).toMatchObject({
      choice: { alias: 'b' },
      skipped: [{ alias: 'a', why: 'wrong key' }],
    })
    expect(pick(['a', 'b!'], [], null, ['a'])).toEqual({ kind: 'none', why: 'a: wrong key; b: no key' })
  })

  const now = new Date('2026-11-22T08:00:00Z')
  const inMs = (ms: number, open: boolean) => ({
    until: new Date(now.getTime() + ms),
    why: open ? 'cut off' : 'limits',
    open,
  })
  const blockedPick = (
    prefer: readonly string[],
    blocked: Readonly<Record<string, ReturnType<typeof inMs>>>,
    answered: string | null = null,
    failures: readonly ModelFailure[] = [],
  ) => {
    const candidates = prefer.map((alias) => ({ alias, choice: choice(alias) }))
    return pickModel(candidates, failures, new Map(), answered, new Map(Object.entries(blocked)), now)
  }
  it.each([
    ['the next, where the first is cut off', ['a', 'b'], { a: inMs(1_000, true) }, null, 'b'],
    ['rules only where they are named after it', ['a', 'rules'], { a: inMs(1_000, true) }, null, 'rules'],
    ['the next of what answered, where that is cut off', ['a', 'b'], { b: inMs(1_000, true) }, 'b', 'a'],
    ['the next, where a rate limit lasts long', ['a', 'b'], { a: inMs(30_001, false) }, null, 'b'],
    ['the first, where only others are cut off', ['a', 'b'], { b: inMs(1_000, true) }, null, 'a'],
  ])('asks %s', (_, prefer, blocked, answered, expected) => {
    expect(blockedPick(prefer, blocked, answered)).toMatchObject({ kind: 'call', choice: { alias: expected } })
  })

  it('waits for a rate limit that ends soon, and for the soonest where all are cut off', () => {
    const soon = inMs(30_000, false)
    expect(blockedPick(['a', 'rules'], { a: soon })).toEqual({ kind: 'wait', ...soon })
    const [late, early] = [inMs(9_000, true), inMs(5_000, true)]
    expect(blockedPick(['a', 'b'], { a: late, b: early })).toEqual({ kind: 'wait', ...early })
  })

  it('says why it leaves a provider out that is cut off', () => {
    expect(blockedPick(['a', 'b'], { a: inMs(1, true) })).toMatchObject({ skipped: [{ alias: 'a', why: 'cut off' }] })
  })

  it('names the model that failed before the one it takes', () => {
    expect(pick(['a', 'rules'], ['a', 'a'])).toMatchObject({ skipped: [{ alias: 'a', why: 'a is down' }] })
  })
})
