import { describe, expect, it } from 'vitest'
import type { Fault } from './director.ts'
import { resumes } from './measure.ts'

const fault = (beganS: number, overS: number): Fault => ({
  kind: 'k',
  what: 'w',
  beganMs: beganS * 1_000,
  overMs: overS * 1_000,
})
const at = (second: number) => new Date(second * 1_000).toISOString()

describe('how long an interrupted run waited', () => {
  it.each([
    ['from the end of the fault that interrupted it', [fault(10, 20)], [5, 25], 5_000],
    ['from the end of the first of several faults', [fault(10, 20), fault(30, 40)], [5, 45], 25_000],
    ['from the end of the fault that overlaps the first', [fault(10, 12), fault(11, 40)], [5, 45], 5_000],
    ['from the end of a fault it began in', [fault(4, 40), fault(10, 12)], [5, 45], 5_000],
    ['not at all, claimed again before the fault was over', [fault(10, 20)], [5, 15], 0],
    ['as nothing without a fault, as after a wait of its own', [], [5, 15], 0],
  ])('is counted %s', (_what, faults, claims, ms) => {
    const row = { id: 'inv_1', claimed_at: claims.map(at), finished_at: null }
    expect(resumes([row], faults, 0, 100_000)).toMatchObject({ count: 1, ms: { max: ms }, late: [] })
  })

  it('is late after 30 s', () => {
    const row = { id: 'inv_1', claimed_at: [at(5), at(51)], finished_at: null }
    expect(resumes([row], [fault(10, 20)], 0, 100_000).late).toEqual(['inv_1: claimed again after 31000 ms'])
  })
})
