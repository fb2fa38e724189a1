import { expect, it } from 'vitest'
import { holdMs } from './cache.ts'
import { aKey, type CacheHarness, dice, Rows, TestClock } from './conformance-kit.ts'

export function counterRules(harness: () => CacheHarness): void {
  const open = () => harness().open('store')

  it('begins with the rows that are there, and goes on from them', async () => {
    const cache = open()
    const rows = new Rows()
    rows.ids.add('before')
    const counter = rows.counter(aKey('user:alice:dm_count'))
    expect(await cache.count(counter)).toBe(1)
    const seen: number[] = []
    const counted = await cache.counted(counter, 'ntf_1', (count) => {
      seen.push(count)
      return rows.write('ntf_1')
    })
    expect(counted).toEqual({ result: 'ntf_1', count: 2 })
    expect(seen).toEqual([1])
    expect(await open().count(counter)).toBe(2)
    expect(rows.rebuilds).toBe(1)
  })

  it('is rebuilt once when many find it absent', async () => {
    const rows = new Rows()
    rows.ids.add('before')
    const counter = rows.counter(aKey('user:alice:dm_count'))
    const caches = [open(), open()] as const
    const counts = await Promise.all(Array.from({ length: 20 }, (_, index) => caches[index % 2 ? 0 : 1].count(counter)))
    expect(counts).toEqual(counts.map(() => 1))
    expect(rows.rebuilds).toBe(1)
  })

  it.each([1, 2, 3])('loses and doubles nothing when the store is flushed among increments (%i)', async (seed) => {
    const roll = dice(seed)
    const rows = new Rows(seed)
    const counter = rows.counter(aKey('user:alice:dm_count'))
    const caches = [open(), open(), open()] as const
    let settled = 0
    const worker = async (name: string) => {
      for (let turn = 0; turn < 12; turn += 1) {
        const id = `${name}-${turn}`
        await caches[roll(3) === 0 ? 0 : roll(2) === 0 ? 1 : 2].counted(counter, id, () => rows.write(id))
        settled += 1
        if (roll(6) > 0) continue
        const least = settled
        const count = await caches[0].count(counter)
        expect(count).toBeGreaterThanOrEqual(least)
        expect(count).toBeLessThanOrEqual(rows.ids.size)
      }
    }
    const workers = Promise.all(Array.from({ length: 8 }, (_, index) => worker(`w${index}`)))
    for (let flushes = 0; flushes < 6; flushes += 1) {
      for (let lags = 0; lags < 8; lags += 1) await rows.lag()
      await harness().flush()
    }
    await workers
    expect(rows.ids.size).toBe(96)
    expect(await caches[1].count(counter)).toBe(96)
    // Not only because the rows were asked again: what is kept is right.
    const before = rows.rebuilds
    expect(await caches[2].count(counter)).toBe(96)
    expect(rows.rebuilds).toBe(before)
  })

  it('does not count a row twice that a rebuild has seen before its writer came back', async () => {
    const cache = open()
    const rows = new Rows()
    const counter = rows.counter(aKey('user:alice:dm_count'))
    await cache.counted(counter, 'slow', async () => {
      const written = await rows.write('slow')
      await harness().flush()
      expect(await cache.count(counter)).toBe(1)
      return written
    })
    expect(await cache.count(counter)).toBe(1)
  })

  it('asks the rows when the writer failed, since its commit may have gone through', async () => {
    const cache = open()
    const rows = new Rows()
    const counter = rows.counter(aKey('user:alice:dm_count'))
    const lost = cache.counted(counter, 'lost', async () => {
      await rows.write('lost')
      throw new Error('the answer was lost')
    })
    await expect(lost).rejects.toThrow('the answer was lost')
    expect(await cache.count(counter)).toBe(1)
  })

  it('asks the rows when the writer does not know how many it wrote', async () => {
    const cache = open()
    const rows = new Rows()
    const counter = rows.counter(aKey('user:alice:dm_count'))
    await cache.counted(counter, 'again', () => rows.write('again'))
    await cache.counted(counter, 'again', () => Promise.resolve({ added: null, result: 'known already' }))
    expect(await cache.count(counter)).toBe(1)
  })

  it('writes nothing when the decision is no', async () => {
    const cache = open()
    const rows = new Rows()
    const counter = rows.counter(aKey('user:alice:dm_count'))
    expect(await cache.counted(counter, 'no', () => Promise.resolve({ added: 0, result: 'digest' }))).toEqual({
      result: 'digest',
      count: 0,
    })
    expect(rows.rebuilds).toBe(1)
  })

  it('counts the row of a process that died in between, once its time is over', async () => {
    const clock = new TestClock()
    const cache = harness().open(clock)
    const rows = new Rows()
    const counter = rows.counter(aKey('user:alice:dm_count'))
    const [reached, never] = [Promise.withResolvers<void>(), Promise.withResolvers<never>()]
    const dying = cache.counted(counter, 'dead', async () => {
      await rows.write('dead')
      reached.resolve()
      return never.promise
    })
    await reached.promise
    expect(await cache.count(counter)).toBe(0)
    clock.advance(holdMs + 1)
    expect(await cache.count(counter)).toBe(1)
    never.reject(new Error('it was only frozen'))
    await expect(dying).rejects.toThrow('it was only frozen')
    expect(await cache.count(counter)).toBe(1)
  })

  it('passes on why the rows could not be counted, and lets the next one try at once', async () => {
    const cache = open()
    const rows = new Rows()
    const counter = rows.counter(aKey('user:alice:dm_count'))
    const failing = { ...counter, rebuild: () => Promise.reject(new Error('no rows today')) }
    await expect(cache.count(failing)).rejects.toThrow('no rows today')
    expect(await cache.count(counter)).toBe(0)
  })

  it('counts the rows anew when the counter has lived its time', async () => {
    const cache = open()
    const rows = new Rows()
    const counter = rows.counter(aKey('user:alice:dm_count'), 50)
    expect(await cache.count(counter)).toBe(0)
    rows.ids.add('behind its back')
    await expect.poll(() => cache.count(counter), { timeout: 5_000, interval: 10 }).toBe(1)
  })
}
