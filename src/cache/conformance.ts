import { afterAll, beforeAll, describe } from 'vitest'
import { counterRules } from './conformance-counters.ts'
import { keyRules } from './conformance-keys.ts'
import type { CacheHarness } from './conformance-kit.ts'
import { limitBounds, limitRules } from './conformance-limits.ts'
import { crashRules, outageRules } from './conformance-outage.ts'

/** The contract of cache.ts, sentence by sentence. Every adapter is held to it. */
export function cacheConformance(name: string, start: () => Promise<CacheHarness>, server: boolean): void {
  describe(`Cache: ${name}`, () => {
    let harness: CacheHarness
    beforeAll(async () => {
      harness = await start()
    })
    afterAll(async () => {
      await harness.close()
    })
    describe('limits', () => {
      limitRules(() => harness)
      limitBounds(() => harness)
    })
    describe('keys', () => {
      keyRules(() => harness)
    })
    describe('counters', () => {
      counterRules(() => harness)
    })
    describe('outages', () => {
      outageRules(() => harness)
      if (server) crashRules(() => harness)
    })
  })
}
