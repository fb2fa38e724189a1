import { afterAll, describe, expect, it } from 'vitest'
import { anAgent, anEvent, aRoute, aSnapshot, RecordingOutbox, text } from '../../test/dispatch.ts'
import { openTestPostgres } from '../../test/postgres.ts'
import { systemClock } from '../kernel/clock.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { silentLog } from '../kernel/log.ts'
import { dispatcher } from './dispatcher.ts'
import { reconcile } from './reconcile.ts'

const db = await openTestPostgres()
afterAll(async () => db?.close())

describe.skipIf(db === null)('several dispatchers on one server', () => {
  it('make one event, one run and one decision of each fact, however its receptions are spread', async () => {
    if (!db) return
    const outbox = new RecordingOutbox()
    const consumer = dispatcher({
      database: db,
      outbox,
      codex: { current: () => aSnapshot([anAgent('sentinel')], [aRoute('any', '*', ['sentinel'])]) },
      clock: systemClock,
      log: silentLog,
      echoes: { confirm: () => Promise.resolve(null) },
    })
    // Ten facts, each received twelve times: by delivery id, through other hooks, and in batches of every order.
    const facts = Array.from({ length: 10 }, (_, fact) => fact)
    const batches = Array.from({ length: 12 }, (_, batch) => {
      const order = batch % 2 === 0 ? facts : facts.toReversed()
      return order.map((fact) =>
        anEvent({ metadata: { dedup_key: `fact-${fact}`, delivery_id: `hook-${batch % 3}-of-${fact}` } }),
      )
    })
    await Promise.all(batches.map((events) => handleUntilAccepted(events)))
    expect(await reconcile(db)).toEqual({ received: 120, dispositions: { DUPLICATE: 110, ROUTED: 10 }, difference: 0 })
    const { rows } = await db.query<{ runs: number; decisions: number }>(
      text(`SELECT (SELECT count(*) FROM guild_core.invocations) AS runs,
        (SELECT count(*) FROM guild_core.decisions WHERE agent_id IS NULL) AS decisions`),
    )
    expect(rows).toEqual([{ runs: 10, decisions: 120 }])

    async function handleUntilAccepted(events: readonly GuildEvent[]) {
      const publishedAt = new Date()
      const batch = events.map((body, index) => ({
        id: `m${index}`,
        topic: 'guild.events.inbound',
        key: null,
        priority: 'NORMAL' as const,
        body,
        attempt: 1,
        publishedAt,
      }))
      const nacks = await consumer.handle(batch, new AbortController().signal)
      expect(nacks).toEqual([])
    }
  })
})
