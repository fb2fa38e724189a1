import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { openTestPostgres } from '../../test/postgres.ts'
import type { Database, Queryable } from '../database/database.ts'
import { checkCounts, Counts } from './counts.ts'

const postgres = await openTestPostgres()
const ask = async <Row>(db: Queryable, text: string) => (await db.query<Row>({ name: '', text })).rows

suite('embedded', openTestDatabase)
if (postgres !== null) suite('on a server', () => Promise.resolve(postgres))

/** Receptions as the dispatcher writes them: the row, and its decision in the same transaction. */
async function receive(db: Queryable, from: number, count: number, disposition = 'DUPLICATE'): Promise<void> {
  const numbers = `generate_series(${from}, ${from + count - 1}) AS n`
  await ask(
    db,
    `WITH r AS (
      INSERT INTO guild_core.receipts (id, event_id, source, delivery_id, disposition, received_at)
      SELECT 'rcv_' || n, 'evt_' || n, 's', 'd', '${disposition}', now() FROM ${numbers} RETURNING id, event_id)
    INSERT INTO guild_core.decisions (stage, outcome, event_id, receipt_id, reason)
    SELECT 'dispatch', '${disposition}', event_id, id, 'x' FROM r`,
  )
}

/** Three looks, each as late as it must be: note the last number, then the transactions under way, then add. */
async function add(db: Queryable): Promise<number> {
  let added = 0
  for (let look = 0; look < 3; look += 1) {
    const [row] = await ask<{ added: number }>(db, 'SELECT guild_core.add_tallies()::integer AS added')
    added += row?.added ?? 0
    await ask(db, `UPDATE guild_core.tally_mark SET noted_at = noted_at - interval '1 minute'`)
  }
  return added
}

function suite(name: string, open: () => Promise<Database>): void {
  describe(`the counts, ${name}`, () => {
    let db: Database
    beforeAll(async () => {
      db = await open()
    })
    afterAll(() => db.close())
    const shown = async () => (await new Counts(db).read()).disposition

    it('are what there is before, while and after they are remembered', async () => {
      await receive(db, 0, 1_200)
      await receive(db, 1_200, 300, 'ROUTED')
      expect(await shown()).toEqual({ DUPLICATE: 1_200, ROUTED: 300 })
      expect(await add(db)).toBe(1_500)
      expect(await shown()).toEqual({ DUPLICATE: 1_200, ROUTED: 300 })
      await receive(db, 1_500, 5, 'MUTED')
      expect(await shown()).toEqual({ DUPLICATE: 1_200, MUTED: 5, ROUTED: 300 })
      expect(await checkCounts(db)).toMatchObject({ verdict: 'ok' })
    })

    it('read no more than what was decided since', async () => {
      await receive(db, 2_000, 1_000)
      await add(db)
      await db.transaction(async (tx) => {
        const read = async () => {
          const text = `SELECT sum(seq_tup_read + idx_tup_fetch)::integer AS rows FROM pg_stat_xact_user_tables WHERE schemaname = 'guild_core'`
          return (await ask<{ rows: number }>(tx, text))[0]?.rows ?? 0
        }
        const before = await read()
        await new Counts(tx).read()
        expect((await read()) - before).toBeLessThan(50)
      })
    })

    it('tell what differs', async () => {
      await ask(db, `UPDATE guild_core.tallies SET count = count + 1 WHERE label = 'ROUTED'`)
      expect(await checkCounts(db)).toMatchObject({
        verdict: 'warning',
        finding: 'disposition ROUTED: 301 shown, 300 there',
      })
    })
  })
}

it.skipIf(postgres === null)('never leave out what is committed late', async () => {
  const db = await openTestPostgres()
  if (db === null) throw new Error('the server has gone')
  const late = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const committing = db.transaction(async (tx) => {
    await receive(tx, 0, 10, 'ROUTED')
    begun.resolve()
    await late.promise
  })
  await begun.promise
  await receive(db, 10, 1_500)
  expect(await add(db)).toBe(0)
  expect((await new Counts(db).read()).disposition).toEqual({ DUPLICATE: 1_500 })
  late.resolve()
  await committing
  expect(await add(db)).toBe(1_510)
  expect((await new Counts(db).read()).disposition).toEqual({ DUPLICATE: 1_500, ROUTED: 10 })
  expect(await checkCounts(db)).toMatchObject({ verdict: 'ok' })
  await db.close()
})
