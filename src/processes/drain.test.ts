import { expect, it } from 'vitest'
import { systemClock } from '../kernel/clock.ts'
import { silentLog } from '../kernel/log.ts'
import { drain, type DrainParts } from './drain.ts'

const by = { clock: systemClock, log: silentLog }

/** Writes down what is done, in order. */
function parts(over: Partial<DrainParts> = {}): { readonly order: string[]; readonly made: DrainParts } {
  const order: string[] = []
  const ended = Promise.withResolvers<void>()
  const made: DrainParts = {
    leave: () => void order.push('not ready'),
    closeHttp: () => Promise.resolve(void order.push('http')),
    stop: () => {
      order.push('stop')
      ended.resolve()
    },
    running: ended.promise.then(() => void order.push('services')),
    names: () => ['consumer executor'],
    close: () => Promise.resolve(void order.push('stores')),
    ...over,
  }
  return { order, made }
}

it('ends deliveries before services, and stores last', async () => {
  const { order, made } = parts()
  expect(await drain(made, { drainMs: 5_000, graceMs: 0, probesLast: false }, by)).toEqual([])
  expect(order).toEqual(['not ready', 'http', 'stop', 'services', 'stores'])
})

it('keeps the probes of a worker until its services have ended', async () => {
  const { order, made } = parts()
  expect(await drain(made, { drainMs: 5_000, graceMs: 0, probesLast: true }, by)).toEqual([])
  expect(order).toEqual(['not ready', 'stop', 'services', 'http', 'stores'])
})

it('says what was left when the time is over, and does not wait for it', async () => {
  const { order, made } = parts({ running: new Promise<void>(() => undefined) })
  expect(await drain(made, { drainMs: 50, graceMs: 0, probesLast: false }, by)).toEqual(['consumer executor'])
  expect(order).not.toContain('stores')
})

it('leaves the services half of the time also when an answer hangs', async () => {
  const { order, made } = parts({ closeHttp: () => new Promise<void>(() => undefined) })
  expect(await drain(made, { drainMs: 200, graceMs: 0, probesLast: false }, by)).toEqual(['the HTTP server'])
  expect(order).toEqual(['not ready', 'stop', 'services'])
})

it('goes on when a part fails to close', async () => {
  const { order, made } = parts({ closeHttp: () => Promise.reject(new Error('broken')) })
  expect(await drain(made, { drainMs: 5_000, graceMs: 0, probesLast: false }, by)).toEqual([])
  expect(order).toEqual(['not ready', 'stop', 'services', 'stores'])
})
