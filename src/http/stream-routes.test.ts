import { fastify } from 'fastify'
import { expect, it } from 'vitest'
import { GuildError } from '../kernel/errors.ts'
import { streamRoutes } from './stream-routes.ts'

it('ends a stream soon after its key is revoked', async () => {
  let revoked = false
  let listeners = 0
  const app = fastify()
  const stream = {
    listen: () => {
      listeners += 1
      return Promise.resolve(() => void (listeners -= 1))
    },
    since: () => Promise.resolve([]),
  }
  const allowed = () => (revoked ? Promise.reject(new GuildError('GUILD_UNAUTHENTICATED')) : Promise.resolve())
  await app.register(streamRoutes(stream, allowed, 10))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  try {
    const response = await fetch(`${url}/stream`, { signal: AbortSignal.timeout(5_000) })
    const reader = (response.body ?? new ReadableStream<Uint8Array>()).pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('still here')) text += (await reader.read()).value ?? ''
    revoked = true
    const end = async () => {
      while (!(await reader.read()).done);
    }
    await expect(end()).rejects.toThrow('terminated')
    await expect.poll(() => listeners).toBe(0)
  } finally {
    await app.close()
  }
})
