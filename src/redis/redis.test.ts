import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { testRedis, testRedisCluster } from '../../test/redis.ts'
import { silentLog } from '../kernel/log.ts'
import { Secret } from '../kernel/secret.ts'
import { Redis } from './redis.ts'
import { script } from './script.ts'

const echo = script(import.meta.url, '../../test/redis-echo.lua')
const server = await testRedis()

describe.skipIf(server === null)('Redis', () => {
  if (server === null) return

  it('runs a script again after the server has forgotten it', async () => {
    await using redis = await server.open()
    expect(await redis.run(echo, ['k'], ['a'])).toEqual(['k', 'a'])
    await server.command('SCRIPT', 'FLUSH')
    expect(await redis.run(echo, ['k'], ['b'])).toEqual(['k', 'b'])
  })

  it('fails at once and retryably while the server is gone, and goes on when it is back', async () => {
    await using redis = await server.open()
    await redis.command('k', ['SET', 'k', 'kept'])
    await server.kill()
    await expect(redis.command('k', ['GET', 'k'])).rejects.toMatchObject({
      code: 'GUILD_REDIS_UNAVAILABLE',
      retryable: true,
    })
    await server.restart()
    await expect.poll(() => redis.command('k', ['GET', 'k']).catch(() => null), { timeout: 10_000 }).toBe('kept')
  })

  it('gives up a command that the server does not answer in time', async () => {
    await using redis = await server.open({ commandMs: 200 })
    server.pause()
    const answer = redis.command('k', ['PING'])
    await expect(answer).rejects.toMatchObject({ code: 'GUILD_REDIS_UNAVAILABLE', retryable: true })
    server.resume()
    expect(await redis.command('k', ['PING'])).toBe('PONG')
  })

  it('hears a channel, and says so when it may have missed something', async () => {
    await using redis = await server.open()
    const heard: string[] = []
    const stop = await redis.listen(
      'c',
      (payload) => heard.push(payload),
      () => heard.push('gap'),
    )
    await server.command('PUBLISH', 'c', 'one')
    await expect.poll(() => heard).toEqual(['one'])
    await server.restart()
    await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['one', 'gap'])
    await server.command('PUBLISH', 'c', 'two')
    await expect.poll(() => heard).toEqual(['one', 'gap', 'two'])
    await stop()
  })

  it('hears a message once, however often it asked to listen before the server was there', async () => {
    await server.kill()
    const url = new Secret(server.url)
    await using redis = Redis.start({ url, setting: 'REDIS_URL', log: silentLog, commandMs: 300 })
    const heard: string[] = []
    const listen = () =>
      redis.listen(
        'c',
        (payload) => heard.push(payload),
        () => undefined,
      )
    for (let attempt = 0; attempt < 3; attempt++) await expect(listen()).rejects.toMatchObject({ retryable: true })
    await server.restart()
    await redis.ready(10_000)
    await expect
      .poll(
        () =>
          listen().then(
            () => true,
            () => false,
          ),
        { timeout: 10_000 },
      )
      .toBe(true)
    await expect.poll(() => server.command('PUBSUB', 'NUMSUB', 'c'), { timeout: 10_000 }).toEqual(['c', 1])
    await server.command('PUBLISH', 'c', 'one')
    await server.command('PUBLISH', 'c', 'two')
    await expect.poll(() => heard.at(-1)).toBe('two')
    expect(heard).toEqual(['one', 'two'])
  })

  it('says what the server refuses, for good', async () => {
    await using redis = await server.open()
    await redis.command('list', ['LPUSH', 'list', 'x'])
    const wrong = redis.command('list', ['GET', 'list'])
    await expect(wrong).rejects.toMatchObject({ code: 'GUILD_REDIS_REFUSED', retryable: false })
  })

  it('works on a cluster', async () => {
    const cluster = await testRedisCluster()
    await using redis = await cluster?.open()
    expect(await redis?.run(echo, ['{a}k'], ['a'])).toEqual(['{a}k', 'a'])
    const heard: string[] = []
    const stop = await redis?.listen(
      'c',
      (payload) => heard.push(payload),
      () => undefined,
    )
    await redis?.command('c', ['PUBLISH', 'c', 'one'])
    await expect.poll(() => heard).toEqual(['one'])
    await stop?.()
  })
})

it('does not wait for ever for a server that never answers, and repeats no password', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const url = new Secret(`redis://:hidden@127.0.0.1:${port}`)
  const opening = Redis.open({ url, setting: 'REDIS_URL', log: silentLog, connectMs: 300 })
  await expect(opening).rejects.toMatchObject({
    code: 'GUILD_REDIS_UNAVAILABLE',
    message: expect.not.stringContaining('hidden') as string,
  })
  silent.close()
})
