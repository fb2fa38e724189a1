import { describe, expect, it } from 'vitest'
import { Deadlines } from './deadlines.ts'

describe('Deadlines', () => {
  it('tells those that were not met, in their order, and not before their time', async () => {
    const deadlines = new Deadlines(20)
    const began = performance.now()
    const missed: { readonly who: string; readonly afterMs: number }[] = []
    const over = Promise.withResolvers<void>()
    const note = (who: string) => () => void missed.push({ who, afterMs: performance.now() - began })
    deadlines.open(note('first'))
    deadlines.open(note('second')).met()
    deadlines.open(() => {
      note('third')()
      over.resolve()
    })
    await over.promise
    expect(missed.map(({ who }) => who)).toEqual(['first', 'third'])
    for (const { afterMs } of missed) expect(afterMs).toBeGreaterThanOrEqual(20)
  })

  it('tells again of one that is opened by who was told', async () => {
    const deadlines = new Deadlines(5)
    const again = Promise.withResolvers<string>()
    deadlines.open(() => deadlines.open(() => again.resolve('told')))
    expect(await again.promise).toBe('told')
  })

  it('says nothing after it was met, and nothing twice', async () => {
    const deadlines = new Deadlines(5)
    let told = 0
    const met = deadlines.open(() => (told += 1))
    const over = Promise.withResolvers<void>()
    const missed = deadlines.open(() => {
      told += 10
      over.resolve()
    })
    met.met()
    await over.promise
    missed.met()
    const later = Promise.withResolvers<void>()
    deadlines.open(later.resolve)
    await later.promise
    expect(told).toBe(10)
  })
})
