import { afterAll, beforeAll, describe } from 'vitest'
import { claimRules } from './conformance-claims.ts'
import { deliveryRules } from './conformance-delivery.ts'
import type { BusHarness } from './conformance-kit.ts'
import { logRules } from './conformance-log.ts'
import { orderRules } from './conformance-order.ts'

/** The contract of bus.ts, sentence by sentence. Every adapter is held to it. */
export function busConformance(name: string, start: () => Promise<BusHarness>): void {
  describe(`Bus: ${name}`, () => {
    let harness: BusHarness
    beforeAll(async () => {
      harness = await start()
    })
    afterAll(async () => {
      await harness.close()
    })
    describe('delivery', () => {
      deliveryRules(() => harness)
    })
    describe('claims', () => {
      claimRules(() => harness)
    })
    describe('order', () => {
      orderRules(() => harness)
    })
    describe('log', () => {
      logRules(() => harness)
    })
  })
}
