import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { detectLoop, repetitionNotice, repetitions, type CallTrace } from './loops.ts'
import { steadyText } from './steady.ts'

/** `A1` is call A with result 1; `Ax` fails; `A1!` is an accepted action; `~` stands for numbers that change; one model call each. */
function traces(...calls: readonly string[]): readonly CallTrace[] {
  return calls.map((call, turn) => ({
    turn,
    request: call.slice(0, 1),
    result: call.replace('~', `${turn}`).slice(1),
    steady: call,
    acted: call.endsWith('!'),
    errorClass: call.endsWith('x') ? `error of ${call.slice(1)}` : null,
  }))
}

describe('detectLoop', () => {
  it.each([
    ['nothing yet', [], null],
    ['different calls with new results', ['A1', 'B2', 'C3', 'D4', 'E5', 'F6'], null],
    ['the same call twice', ['A1', 'A1'], null],
    ['the same call and result four times, among others', ['A1', 'B2', 'A1', 'C3', 'A1', 'D4', 'A1', 'E5'], null],
    [
      'the same call and result five times, among others',
      ['A1', 'B2', 'A1', 'C3', 'A1', 'D4', 'A1', 'E5', 'A1'],
      'one call was made 5 times with the same result',
    ],
    ['polling that changes', ['A1', 'A2', 'A3', 'A4', 'A5', 'A6'], null],
    ['the same error four times in a row', ['Ax', 'Bx', 'Cx', 'Dx'], 'the same error came 4 times in a row'],
    ['an error, a success, and errors again', ['Ax', 'Bx', 'C1', 'Dx', 'Ex'], null],
    ['A-B-A-B-A-B', ['C9', 'A1', 'B2', 'A1', 'B2', 'A1', 'B2'], 'two calls were made in turn 3 times'],
    ['A-B-A-B', ['A1', 'B2', 'A1', 'B2'], null],
    [
      'new calls whose results are all known',
      ['A1', 'B2', 'C1', 'D2', 'E1', 'F2', 'G1'],
      '5 model calls in a row brought no new result',
    ],
    ['accepted actions, whose receipts are all alike', ['A1!', 'B1!', 'C1!', 'D1!', 'E1!', 'F1!', 'G1!'], null],
    ['four results that differ only in numbers', ['B1', 'A~', 'A~', 'A~', 'A~'], null],
    [
      'five results that differ only in numbers',
      ['B1', 'A~', 'A~', 'A~', 'A~', 'A~'],
      '5 model calls in a row brought the same but for numbers, times and ids',
    ],
    ['such results with others between them', ['A~', 'A~', 'B1', 'A~', 'A~', 'C2', 'A~', 'A~'], null],
    [
      'twenty new results and nothing done with them',
      Array.from({ length: 20 }, (_, index) => `A${index}`),
      '20 model calls in a row only read, without an action or an answer',
    ],
    [
      'twenty new results and one action among them',
      Array.from({ length: 25 }, (_, index) => (index === 12 ? 'B1!' : `A${index}`)),
      null,
    ],
  ])('%s', (_, calls, found) => {
    expect(detectLoop(traces(...calls))).toBe(found)
  })

  it('stops 364 identical reads at the fifth', () => {
    const calls = Array.from({ length: 364 }, () => 'A1')
    const at = calls.findIndex((_, index) => detectLoop(traces(...calls.slice(0, index + 1))) !== null)
    expect(at + 1).toBe(5)
  })
})

describe('repetition', () => {
  it('answers the third identical call with a notice instead of the result', () => {
    const made = traces('A1', 'B1', 'A1')
    expect(repetitionNotice(repetitions(made.slice(0, 1), 'A'))).toBeNull()
    expect(repetitionNotice(repetitions(made, 'A'))).toMatch(/2 times before/)
    expect(repetitionNotice(repetitions(made, 'C'))).toBeNull()
  })
})

describe('detectLoop, whatever the calls are', () => {
  const call = fc.record({
    request: fc.constantFrom('A', 'B', 'C'),
    result: fc.constantFrom('1', '2', '3', '4'),
    errorClass: fc.constantFrom(null, null, 'e'),
    acted: fc.constant(false),
  })
  const runs = fc.array(fc.array(call, { minLength: 1, maxLength: 3 }), { maxLength: 60 })
  const tracesOf = (turns: readonly (readonly Omit<CallTrace, 'turn' | 'steady'>[])[]): readonly CallTrace[] =>
    turns.flatMap((calls, turn) => calls.map((one) => ({ ...one, turn, steady: `${one.request}${one.result}` })))

  it('stops every run that has nothing new to find, at the latest after 17 model calls', () => {
    // Twelve pairs of call and result, then five model calls without a new one.
    fc.assert(
      fc.property(runs, (turns) => {
        const stopped = turns.findIndex((_, at) => detectLoop(tracesOf(turns.slice(0, at + 1))) !== null)
        expect(turns.length < 17 || (stopped >= 0 && stopped < 17)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('stops every run within 20 model calls that do nothing but read', () => {
    const reads = fc.array(fc.string({ minLength: 1, maxLength: 3 }), { minLength: 20, maxLength: 40 })
    fc.assert(
      fc.property(reads, (results) => {
        const turns = results.map((result) => [{ request: 'A', result, errorClass: null, acted: false }])
        expect(turns.slice(0, 20).some((_, at) => detectLoop(tracesOf(turns.slice(0, at + 1))) !== null)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })
})

describe('steadyText', () => {
  it.each([
    ['times', 'checked at 2026-11-22T08:00:01.123Z: ok', 'checked at 2026-11-23 09:15:44+01:00: ok'],
    ['dates and counters', 'run 17 on 2026-11-22, 3 of 9', 'run 18 on 2026-11-23, 4 of 9'],
    ['ids', 'request 3f2a9c1d-aaaa-4bbb-8ccc-1234567890ab', 'request 99999999-aaaa-4bbb-8ccc-1234567890ff'],
    ['hashes', 'at commit 3f2a9c1', 'at commit 021c974ab'],
    ['tokens', 'next: inv_dxxatncbh2k4k6d48vq82nk2ny', 'next: inv_c3gxm0238gxmtrv4kqp78t8rge'],
  ])('takes %s out', (_, one, other) => {
    expect(steadyText(one)).toBe(steadyText(other))
  })

  it('leaves words: results that say something else stay apart', () => {
    expect(steadyText('ticket PAY-7 is blocked')).not.toBe(steadyText('ticket PAY-7 is done'))
  })

  it('takes time in proportion to the length, whatever the text is', () => {
    const began = performance.now()
    for (const text of ['a-'.repeat(500_000), '1'.repeat(1_000_000), '2026-11-22 '.repeat(90_000)]) steadyText(text)
    expect(performance.now() - began).toBeLessThan(5_000)
  })
})
