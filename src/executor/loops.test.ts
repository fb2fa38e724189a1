import { describe, expect, it } from 'vitest'
import { detectLoop, repetitionNotice, repetitions, type CallTrace } from './loops.ts'

/** `A1` is call A with result 1; `Ax` fails; one model call each. */
function traces(...calls: readonly string[]): readonly CallTrace[] {
  return calls.map((call, turn) => ({
    turn,
    request: call.slice(0, 1),
    result: call.slice(1),
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
