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

  it('names the model that failed before the one it takes', () => {
    expect(pick(['a', 'rules'], ['a', 'a'])).toMatchObject({ skipped: [{ alias: 'a', why: 'a is down' }] })
  })
})
