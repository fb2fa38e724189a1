import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Database } from '../database/database.ts'
import { priorities } from '../kernel/event.ts'
import type { Bus, Delivery } from './bus.ts'
import { Eater, ids } from './conformance-kit.ts'
import type { Outbox } from './outbox.ts'

export interface OutboxHarness {
  readonly database: Database
  readonly bus: Bus
  readonly outbox: Outbox
  close(): Promise<void>
}

/** The contract of outbox.ts. */
export function outboxConformance(name: string, start: () => Promise<OutboxHarness>): void {
  describe(`Outbox: ${name}`, () => {
    let harness: OutboxHarness
    const stop = new AbortController()
    let relaying: Promise<void>
    beforeAll(async () => {
      harness = await start()
      relaying = harness.outbox.relay(stop.signal)
    })
    afterAll(async () => {
      stop.abort()
      await relaying
      await harness.close()
    })

    it('sends what was added when the transaction commits', async () => {
      const { database, bus, outbox } = harness
      const eater = new Eater(bus, { topic: 'commit', group: 'g', maxInFlight: 8 }, async () => undefined)
      const body = { text: 'ü \0 \ud800', n: 1 }
      const message = { id: 'm', key: 'k', priority: 'HIGH' as const, body, notBefore: new Date(0) }
      await database.transaction((tx) => outbox.add(tx, 'commit', [message]))
      const [delivery] = await eater.seen(1)
      expect(delivery).toMatchObject({ id: 'm', key: 'k', priority: 'HIGH', attempt: 1 } satisfies Partial<Delivery>)
      expect(delivery?.body).toStrictEqual(body)
      await eater.stop()
    })

    it('sends nothing when the transaction rolls back', async () => {
      const { database, bus, outbox } = harness
      const rolledBack = database.transaction(async (tx) => {
        await outbox.add(tx, 'rollback', [{ id: 'never', body: 1 }])
        throw new Error('changed my mind')
      })
      await expect(rolledBack).rejects.toThrow('changed my mind')
      await database.transaction((tx) => outbox.add(tx, 'rollback', [{ id: 'after', body: 1 }]))
      const eater = new Eater(bus, { topic: 'rollback', group: 'g', maxInFlight: 8 }, async () => undefined)
      expect(await eater.seen(1)).toMatchObject([{ id: 'after' }])
      await eater.stop()
    })

    it('keeps the order added, over many transactions and every lane', async () => {
      const { database, bus, outbox } = harness
      const names = ids('m', 30)
      for (const [index, id] of names.entries()) {
        const priority = priorities[index % priorities.length] ?? 'NORMAL'
        await database.transaction((tx) => outbox.add(tx, 'order', [{ id, key: 'k', priority, body: 1 }]))
      }
      const eater = new Eater(bus, { topic: 'order', group: 'g', maxInFlight: 8 }, async () => undefined)
      await eater.seen(30)
      expect(eater.ids).toEqual(names)
      await eater.stop()
    })

    it('refuses within the transaction what the bus could not carry', async () => {
      const { database, outbox } = harness
      const refused = database.transaction((tx) => outbox.add(tx, 'refused', [{ id: 'm', body: undefined }]))
      await expect(refused).rejects.toMatchObject({ code: 'GUILD_MESSAGE_INVALID' })
    })
  })
}
