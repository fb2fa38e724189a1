import { expect, it } from 'vitest'
import { aKey, type CacheHarness } from './conformance-kit.ts'

const ttlMs = 60_000

export function keyRules(harness: () => CacheHarness): void {
  const open = () => harness().open('store')

  it('keeps a text until it is replaced, deleted or its time is over', async () => {
    const cache = open()
    const key = aKey('text')
    expect(await cache.get(key)).toBeNull()
    expect(await cache.set(key, 'Zoë “1”', { ttlMs })).toBe(true)
    expect(await cache.get(key)).toBe('Zoë “1”')
    await cache.set(key, '', { ttlMs })
    expect(await open().get(key)).toBe('')
    expect(await cache.delete(key)).toBe(true)
    expect(await cache.delete(key)).toBe(false)
    expect(await cache.get(key)).toBeNull()
  })

  it('forgets a key when its time is over, and not before', async () => {
    const cache = open()
    const [short, long] = [aKey('short'), aKey('long')]
    await cache.set(short, 'x', { ttlMs: 40 })
    await cache.set(long, 'x', { ttlMs })
    await expect.poll(() => cache.get(short), { timeout: 5_000, interval: 10 }).toBeNull()
    expect(await cache.delete(short)).toBe(false)
    expect(await cache.extend(short, 'x', ttlMs)).toBe(false)
    expect(await cache.get(long)).toBe('x')
  })

  it('begins the time anew with every set', async () => {
    const cache = open()
    const [key, witness] = [aKey('again'), aKey('witness')]
    await cache.set(key, 'x', { ttlMs: 40 })
    await cache.set(key, 'x', { ttlMs })
    await cache.set(witness, 'x', { ttlMs: 40 })
    await expect.poll(() => cache.get(witness), { timeout: 5_000, interval: 10 }).toBeNull()
    expect(await cache.get(key)).toBe('x')
  })

  it('gives a lease to one of many, who alone may extend and end it', async () => {
    const key = aKey('lease')
    const tokens = Array.from({ length: 12 }, (_, index) => `token-${index}`)
    const won = await Promise.all(tokens.map((token) => open().set(key, token, { ttlMs, ifAbsent: true })))
    expect(won.filter(Boolean)).toHaveLength(1)
    const mine = tokens[won.indexOf(true)] ?? ''
    const cache = open()
    expect(await cache.extend(key, 'another', ttlMs)).toBe(false)
    expect(await cache.delete(key, 'another')).toBe(false)
    expect(await cache.extend(key, mine, 40)).toBe(true)
    await expect
      .poll(() => cache.set(key, 'next', { ttlMs, ifAbsent: true }), { timeout: 5_000, interval: 10 })
      .toBe(true)
    expect(await cache.delete(key, mine)).toBe(false)
    expect(await cache.delete(key, 'next')).toBe(true)
  })

  it('sets fields of a hash and keeps the others', async () => {
    const cache = open()
    const [key, other] = [aKey('session:invocation'), aKey('health')]
    await cache.putHash(key, { state: 'RUNNING', step: '1' }, { ttlMs })
    await cache.putHash(key, { step: '2', since: 'now', gone: null }, { ttlMs })
    await cache.putHash(key, { since: null }, { ttlMs })
    await cache.putHash(other, { status: 'ACTIVE' }, { ttlMs })
    const expected = [{ status: 'ACTIVE' }, null, { state: 'RUNNING', step: '2' }]
    expect(await cache.hashes([other, aKey('none'), key])).toEqual(expected)
    await cache.putHash(key, { state: null, step: null }, { ttlMs })
    expect(await cache.hashes([key])).toEqual([null])
  })

  it('forgets a hash as a whole', async () => {
    const cache = open()
    const key = aKey('health')
    await cache.putHash(key, { a: '1' }, { ttlMs })
    await cache.putHash(key, { b: '2' }, { ttlMs: 40 })
    await expect.poll(() => cache.hashes([key]), { timeout: 5_000, interval: 10 }).toEqual([null])
    await cache.putHash(key, { c: '3' }, { ttlMs })
    expect(await cache.hashes([key])).toEqual([{ c: '3' }])
  })

  it('finds nothing under a key of the other kind, and replaces it', async () => {
    const cache = open()
    const key = aKey('kind')
    await cache.set(key, 'x', { ttlMs })
    expect(await cache.hashes([key])).toEqual([null])
    await cache.putHash(key, { a: '1' }, { ttlMs })
    expect(await cache.get(key)).toBeNull()
    expect(await cache.extend(key, 'x', ttlMs)).toBe(false)
    expect(await cache.delete(key, 'x')).toBe(false)
    await cache.set(key, 'y', { ttlMs })
    expect(await cache.get(key)).toBe('y')
  })

  it('refuses what is too large or no text, and changes nothing', async () => {
    const cache = open()
    const key = aKey('bounds')
    const invalid = { code: 'GUILD_CACHE_INVALID' }
    const fields = (count: number, name: string) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`${name}${index}`, 'x']))
    await expect(cache.set(key, 'x'.repeat(64 * 1024 + 1), { ttlMs })).rejects.toMatchObject(invalid)
    await expect(cache.set(key, 'a\u0000b', { ttlMs })).rejects.toMatchObject(invalid)
    await expect(cache.set('k'.repeat(513), 'x', { ttlMs })).rejects.toMatchObject(invalid)
    await expect(cache.set('', 'x', { ttlMs })).rejects.toMatchObject(invalid)
    await expect(cache.set(key, 'x', { ttlMs: 0 })).rejects.toMatchObject(invalid)
    await expect(cache.set(key, 'x', { ttlMs: 32 * 86_400_000 })).rejects.toMatchObject(invalid)
    await expect(cache.putHash(key, fields(101, 'a'), { ttlMs })).rejects.toMatchObject(invalid)
    expect(await cache.get(key)).toBeNull()
    await cache.putHash(key, fields(60, 'a'), { ttlMs })
    await expect(cache.putHash(key, fields(60, 'b'), { ttlMs })).rejects.toMatchObject(invalid)
    await expect(cache.putHash(key, { big: 'x'.repeat(64 * 1024 - 100) }, { ttlMs })).rejects.toMatchObject(invalid)
    expect(await cache.hashes([key])).toEqual([fields(60, 'a')])
  })

  it('sweeps what has expired and nothing else', async () => {
    const cache = open()
    const [short, long] = [aKey('sweep'), aKey('sweep')]
    await cache.set(short, 'x', { ttlMs: 20 })
    await cache.set(long, 'x', { ttlMs })
    await expect.poll(() => cache.get(short), { timeout: 5_000, interval: 10 }).toBeNull()
    await cache.sweep()
    expect(await cache.sweep()).toBe(0)
    expect(await cache.get(long)).toBe('x')
  })
}
