import { expect, it } from 'vitest'
import { systemClock } from '../kernel/clock.ts'
import type { Service } from '../kernel/service.ts'
import { logger } from './logger.ts'
import { Health, runServices } from './run-services.ts'

const log = logger({ logLevel: 'silent' })

/** Fails as often as told, then runs until aborted. */
function failing(times: number, how: () => Promise<void>): Service & { readonly runs: () => number } {
  let runs = 0
  return {
    name: 'frail',
    runs: () => runs,
    async run(signal) {
      runs += 1
      if (runs <= times) return how()
      await systemClock.sleep(60_000, signal)
    },
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 5_000; !condition() && Date.now() < end;) await systemClock.sleep(5)
}

it('says that a service is down, and that it is back once it has been started again', async () => {
  const stop = new AbortController()
  const health = new Health()
  const service = failing(1, () => Promise.reject(new Error('lost its mind')))
  const running = runServices([service], stop.signal, log, health)
  await until(() => health.problems().length > 0)
  expect(health.problems()).toEqual(['service frail: it has stopped and is started again; see the log'])
  await until(() => service.runs() === 2)
  expect(health.problems()).toEqual([])
  stop.abort()
  await running
})

it('starts a service again that ended without being told to', async () => {
  const stop = new AbortController()
  const health = new Health()
  const service = failing(1, () => Promise.resolve())
  const running = runServices([service], stop.signal, log, health)
  await until(() => health.problems().length > 0)
  expect(health.problems()).toEqual(['service frail: it has stopped and is started again; see the log'])
  await until(() => service.runs() === 2)
  expect(service.runs()).toBe(2)
  stop.abort()
  await running
})

it('names the services that have not ended', async () => {
  const stop = new AbortController()
  const health = new Health()
  const gate = Promise.withResolvers<void>()
  const stubborn = { name: 'stubborn', run: () => gate.promise }
  const running = runServices([failing(0, () => Promise.resolve()), stubborn], stop.signal, log, health)
  expect(health.running()).toEqual(['frail', 'stubborn'])
  stop.abort()
  await until(() => health.running().length === 1)
  expect(health.running()).toEqual(['stubborn'])
  gate.resolve()
  await running
  expect(health.running()).toEqual([])
})
