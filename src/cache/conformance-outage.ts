import { expect, it } from 'vitest'
import { aKey, aLimit, type CacheHarness, Rows } from './conformance-kit.ts'

const ttlMs = 60_000
const retryable = { name: 'GuildError', retryable: true }

export function outageRules(harness: () => CacheHarness): void {
  it('rejects with a retryable error while the store cannot be reached, and goes on afterwards', async () => {
    const { cache, setReachable } = harness().openFragile()
    const key = aKey('text')
    await cache.set(key, 'x', { ttlMs })
    setReachable(false)
    const counter = new Rows().counter(aKey('count'))
    const calls = [
      () => cache.take([{ limits: [aLimit()] }]),
      () => cache.peek([aLimit()]),
      () => cache.get(key),
      () => cache.set(key, 'y', { ttlMs }),
      () => cache.extend(key, 'x', ttlMs),
      () => cache.delete(key),
      () => cache.putHash(key, { a: '1' }, { ttlMs }),
      () => cache.hashes([key]),
      () => cache.count(counter),
    ]
    for (const call of calls) await expect(call()).rejects.toMatchObject(retryable)
    setReachable(true)
    expect(await cache.get(key)).toBe('x')
  })

  it('does not lose what was written when the store goes away during it', async () => {
    const { cache, setReachable } = harness().openFragile()
    const rows = new Rows()
    const counter = rows.counter(aKey('count'))
    const counted = await cache.counted(counter, 'a', async () => {
      const written = await rows.write('a')
      setReachable(false)
      return written
    })
    expect(counted).toEqual({ result: 'a', count: null })
    setReachable(true)
  })

  it('begins anew after a flush: limits full, keys gone', async () => {
    const cache = harness().open('store')
    const [limit, key] = [aLimit(), aKey('text')]
    await cache.take([{ limits: [limit] }])
    await cache.set(key, 'x', { ttlMs })
    await cache.putHash(`${key}:hash`, { a: '1' }, { ttlMs })
    await harness().flush()
    expect(await cache.get(key)).toBeNull()
    expect(await cache.hashes([`${key}:hash`])).toEqual([null])
    expect(await cache.take([{ limits: [limit] }])).toMatchObject([{ allowed: true }])
  })
}

/** For stores with a server of their own. */
export function crashRules(harness: () => CacheHarness): void {
  it('survives the death of the server: fails retryably, then counts what the rows say', async () => {
    const cache = harness().open('store')
    const rows = new Rows()
    const counter = rows.counter(aKey('count'))
    for (const id of ['a', 'b', 'c']) await cache.counted(counter, id, () => rows.write(id))
    await cache.counted(counter, 'd', async () => {
      const written = await rows.write('d')
      await harness().kill?.()
      await expect(cache.get('any')).rejects.toMatchObject(retryable)
      await harness().start?.()
      return written
    })
    await expect.poll(() => cache.get('any').catch(() => 'away'), { timeout: 20_000 }).toBeNull()
    expect(await cache.count(counter)).toBe(4)
    expect(await cache.counted(counter, 'e', () => rows.write('e'))).toMatchObject({ count: 5 })
  })
}
