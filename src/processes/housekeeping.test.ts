import { expect, it } from 'vitest'
import { housekeeping } from './housekeeping.ts'
import { logger } from './logger.ts'

it('cleans up a minute after the start, then every hour: a process may not live for one', async () => {
  const stop = new AbortController()
  let atMs = 0
  const trims: number[] = []
  const clock = {
    now: () => new Date(atMs),
    sleep: (ms: number) => {
      atMs += ms
      return Promise.resolve()
    },
  }
  const bus = {
    trim: () => {
      trims.push(atMs / 60_000)
      if (trims.length === 3) stop.abort()
      return Promise.resolve(0)
    },
  }
  const database = { query: () => Promise.resolve({ rows: [], count: 0 }) }
  const artifacts = { removeOlderThan: () => Promise.resolve(0) }
  await housekeeping({
    bus,
    artifacts,
    database,
    clock,
    log: logger({ logLevel: 'silent' }),
  }).run(stop.signal)
  expect(trims).toEqual([1, 61, 121])
})
