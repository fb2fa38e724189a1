import { describe, expect, it } from 'vitest'
import type { CompiledAgent } from '../codex/snapshot.ts'
import type { Journal } from './journal.ts'
import { aStep, type Step } from './step.ts'
import { ladder, rungsToCut, trimOf, type TrimNeed } from './trim.ts'

const started_at = '2026-11-22T00:00:00.000Z'
const step = (seq: number, kind: Step['kind'], name: string, more: Partial<Step>) =>
  aStep({ seq, attempt: 1, kind, name, status: 'DONE', started_at, ...more })
const context = (seq: number, name: string, outcome = 'read') =>
  step(seq, 'context', name, { response: { outcome, text: 'x', data: null, integrity: 'member', why: null } })
const request = {
  alias: 'a',
  provider: 'p',
  model: 'm',
  steer: null,
  closing: null,
  trim: 0,
  reservation: null,
  inputTokens: 0,
  price: null,
  code: null,
}
const turn = (seq: number, calls: number) =>
  step(seq, 'llm', 'a', {
    request,
    response: {
      text: '',
      toolCalls: Array.from({ length: calls }, (_, n) => ({ id: `c${seq}${n}`, name: `t${n}`, args: {} })),
      stop: 'tool_calls',
      provider: 'p',
      model: 'm',
      opaque: null,
    },
  })
const result = (seq: number, bytes: number) =>
  step(seq, 'tool_read', 't', {
    response: {
      isError: false,
      text: 'x'.repeat(bytes),
      integrity: 'member',
      resultHash: 'h',
      errorClass: null,
      repeated: false,
      actionId: null,
      accepted: false,
    },
  })
const item = (id: string, required: boolean, priority = 50) => ({ id, required, priority, maxTokens: 100 })
const agentWith = (items: readonly object[]) => ({ manifest: { spec: { context: items } } }) as unknown as CompiledAgent // what the ladder reads
const journalWith = (done: readonly Step[]) => ({ done }) as unknown as Journal // what the ladder reads

const agent = agentWith([
  item('plan', true),
  item('one', false),
  item('two', false),
  item('low', false, 10),
  item('never', false),
])
const journal = journalWith([
  context(1, 'plan'),
  context(2, 'one'),
  context(3, 'two'),
  context(4, 'low'),
  context(5, 'never', 'unavailable'),
  turn(6, 2),
  result(7, 5_000),
  result(8, 10),
  turn(9, 1),
  result(10, 5_000),
  turn(11, 1),
  result(12, 5_000),
])

describe('the ladder', () => {
  it('leaves optional context out by priority, then old results, then half of what is required', () => {
    expect(ladder(journal, agent)).toEqual([
      { kind: 'context', id: 'low' },
      { kind: 'context', id: 'two' },
      { kind: 'context', id: 'one' },
      { kind: 'result', seq: 7, name: 't0' },
      { kind: 'result', seq: 10, name: 't0' },
      { kind: 'half' },
      { kind: 'half' },
    ])
  })

  it('is empty where all there is are rules and the event', () => {
    expect(ladder(journalWith([turn(1, 0)]), agentWith([]))).toEqual([])
  })

  it('makes the same cut of the same journal', () => {
    const cut = trimOf(journal, agent, 6)
    expect(cut).toEqual({ context: new Set(['low', 'two', 'one']), results: new Set([7, 10]), share: 0.5 })
    expect(trimOf(journalWith(structuredClone(journal.done)), agent, 6)).toEqual(cut)
    expect(trimOf(journal, agent, 0)).toEqual({ context: new Set(), results: new Set(), share: 1 })
  })
})

describe('rungsToCut', () => {
  const bytes = (cut: number) => 10_000 - cut * 1_000
  const need: TrimNeed = { from: 0, overflowed: null, rungs: 7, bytes, contextTokens: 100_000, maxOutputTokens: 1_000 }
  it.each([
    ['nothing of what fits', {}, 0],
    ['as much as before', { from: 2 }, 2],
    ['what our own estimate says is too much', { contextTokens: 3_667 }, 2],
    ['a quarter of what the provider found too long', { overflowed: 0 }, 3],
    ['more than what was too long already', { overflowed: 3 }, 5],
    ['all there is, where nothing is enough', { contextTokens: 1_100 }, 7],
    ['no more than there is', { overflowed: 7 }, 7],
    ['nothing where there is nothing', { rungs: 0, overflowed: 0 }, 0],
  ])('cuts %s', (_, change, expected) => {
    expect(rungsToCut({ ...need, ...change })).toBe(expected)
    // A size that was only guessed, where the guess was enough, cuts the same.
    const rough = (cut: number, enough = 0) => (bytes(cut) * 3 <= enough ? bytes(cut) * 3 : bytes(cut))
    expect(rungsToCut({ ...need, ...change, bytes: rough })).toBe(expected)
  })
})
