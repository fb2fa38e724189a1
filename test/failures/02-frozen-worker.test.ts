// Mutations, each tried by hand:
// - src/executor/journal.sql, `write` without the epoch and the state in its WHERE: all of "in a tool" and "any round trip" fail; the old
//   worker's answer is no longer a takeover.
// - src/executor/journal.sql, `noteUsage` without the epoch of the run: "its late note of usage changes nothing" finds another row.
// - src/executor/call-model.ts, without `checkLease` before the call: "after any round trip" counts one model call too many.
// - src/executor/finish.ts, transcript written before the run's end is committed: "after any round trip" finds another transcript.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { Database } from '../../src/database/database.ts'
import { topics } from '../../src/kernel/topics.ts'
import { verifyLedger } from '../../src/ledger/verify-ledger.ts'
import { openTestDatabase } from '../database.ts'
import { Bench, type BenchSetup, statement } from '../executor-bench.ts'
import { Freezing } from '../freezing.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const frozenMs = 200_000

/** A context item, a read, an action and a closing word: three model calls, each of which reports its input before its answer. */
function setup(inTool: () => Promise<void> = () => Promise.resolve()): BenchSetup {
  return {
    spec: {
      context: [{ id: 'pr', tool: 'github.get_pr', required: true }],
      tools: { allow: [{ name: 'github.search' }], actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 3 }] },
    },
    reads: {
      'github.get_pr': { text: 'a pull request' },
      'github.search': async () => {
        await inTool()
        return { text: 'found' }
      },
    },
    script: (request, _, { onUsage }) => {
      onUsage?.({ inputNocache: 100 })
      const answered = request.messages.filter((message) => message.role === 'assistant').length
      if (answered === 0) return { toolCalls: [{ id: 's', name: 'github__search', args: {} }] }
      if (answered === 1) return { toolCalls: [{ id: 'c', name: 'GITHUB_COMMENT', args: { body: 'x' } }] }
      return { text: 'Done.' }
    },
  }
}

describe('Worker frozen 200 s, lease taken over, old worker thaws', () => {
  it('in a tool → one effect, one charge for each call', async () => {
    const inTool = Promise.withResolvers<void>()
    let process: Freezing | null = null
    const bench = await Bench.open(
      db,
      setup(async () => {
        if (!process) return
        const frozen = process
        process = null
        frozen.freeze()
        inTool.resolve()
        await frozen.pass()
      }),
    )
    const old = new Freezing(db)
    process = old
    const first = bench.deliver(bench.deps(old.database, { clock: old.clock }))
    await inTool.promise
    await bench.finish({ ...bench.deps(), owner: 'worker-2' })
    const left = await everything(bench)

    old.thaw(frozenMs)
    expect(await first).toMatchObject({ reason: 'another worker has taken over' })
    expect(await everything(bench)).toEqual(left)
    expect(bench.llm.requests).toHaveLength(3)
    await settled(bench, 0)
  })

  it.each(['before', 'after'] as const)('%s any round trip to its database → the same', async (when) => {
    const whole = new Freezing(db)
    const probe = await Bench.open(db, setup())
    await probe.deliver(probe.deps(whole.database))
    expect(whole.trips).toBeGreaterThan(8)
    for (let edge = 1; edge <= whole.trips; edge += 1) {
      const bench = await Bench.open(db, setup())
      const old = new Freezing(db, edge, when)
      const first = bench.deliver(bench.deps(old.database, { clock: old.clock }))
      await old.frozen
      await bench.finish({ ...bench.deps(), owner: 'worker-2' })
      const left = await everything(bench)
      const asked = bench.llm.requests.length

      old.thaw(frozenMs)
      await first
      expect({ edge, ...(await everything(bench)) }).toEqual({ edge, ...left })
      expect({ edge, calls: bench.llm.requests.length }).toEqual({ edge, calls: asked })
      await settled(bench, asked - 3)
    }
  })

  it('while the new owner has not charged the lost call yet → its late note of usage changes nothing', async () => {
    const whole = new Freezing(db)
    const probe = await Bench.open(db, setup())
    await probe.deliver(probe.deps(whole.database))
    const noting = whole.asked.findIndex(([name]) => name === 'journal.noteUsage') + 1

    const bench = await Bench.open(db, setup())
    const old = new Freezing(db, noting)
    const first = bench.deliver(bench.deps(old.database, { clock: old.clock }))
    await old.frozen
    await bench.lapse()
    const claim = 1
    const next = new Freezing(db, claim, 'after')
    const second = bench.deliver({ ...bench.deps(next.database), owner: 'worker-2' })
    await next.frozen
    const left = await everything(bench)
    old.thaw(frozenMs)
    await first
    expect(await everything(bench)).toEqual(left)
    next.thaw(0)
    expect(await second).toBeNull()
    await settled(bench, 1)
  })
})

/** @param repeated model calls that were under way when the worker stopped: each is charged, as is the call that replaced it */
async function settled(bench: Bench, repeated: number): Promise<void> {
  const lost = (await bench.journal()).filter((line) => line.endsWith('LOST')).length
  expect(repeated).toBeLessThanOrEqual(lost)
  expect(await bench.row()).toMatchObject({ state: 'COMPLETED', actions: 1 })
  expect(await bench.actions()).toBe(1)
  expect(await bench.ledger()).toMatchObject({ open: 0, charged: 3 + lost, reserved: 0 })
  expect(await bench.published(topics.audit)).toHaveLength(1)
  expect((await verifyLedger(db)).problems).toEqual([])
}

/** All that a worker can change. */
async function everything(bench: Bench): Promise<Record<string, unknown>> {
  const { rows } = await db.query(statement('everything', everythingSql), [bench.id])
  return { ...rows[0], transcripts: [...bench.artifacts].map(([path, text]) => [path, told(text)]) }
}

/** Two workers that tell one journal differ in the order of keys, not in what was done. */
function told(text: string): unknown {
  const { ending, messages, steps } = transcriptOf.parse(JSON.parse(text))
  return { ending, messages, steps }
}
const transcriptOf = z.object({
  ending: z.looseObject({}),
  messages: z.array(z.unknown()),
  steps: z.array(z.object({ seq: z.number(), attempt: z.number(), name: z.string(), status: z.string() })),
})

const everythingSql = `
SELECT (SELECT to_jsonb(i) FROM guild_core.invocations i WHERE id = $1) AS run,
  (SELECT jsonb_agg(to_jsonb(s) ORDER BY seq, attempt) FROM guild_core.run_steps s WHERE invocation_id = $1) AS steps,
  (SELECT jsonb_agg(to_jsonb(r) ORDER BY id) FROM guild_ledger.reservations r WHERE invocation_id = $1) AS reservations,
  (SELECT jsonb_agg(to_jsonb(u) ORDER BY id) FROM guild_ledger.token_usage u WHERE invocation_id = $1) AS usage,
  (SELECT jsonb_agg(to_jsonb(b) ORDER BY id) FROM guild_ledger.token_budgets b WHERE entity_id = $1) AS budgets,
  (SELECT jsonb_agg(to_jsonb(a) ORDER BY id) FROM guild_core.actions a WHERE invocation_id = $1) AS actions,
  (SELECT jsonb_agg(to_jsonb(d) ORDER BY id) FROM guild_core.decisions d WHERE invocation_id = $1) AS decisions,
  (SELECT jsonb_agg(to_jsonb(o) ORDER BY id) FROM guild_core.outbox o WHERE message::text LIKE '%' || $1 || '%') AS outbox`
