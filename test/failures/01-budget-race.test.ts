import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { PostgresDatabase } from '../../src/database/postgres/postgres-database.ts'
import { sweepReservations } from '../../src/ledger/sweep-reservations.ts'
import { verifyLedger } from '../../src/ledger/verify-ledger.ts'
import { acme, callsInBudget, runsOfAll, setup } from '../budget-runs.ts'
import { Bench, statement } from '../executor-bench.ts'
import { testPostgres } from '../postgres.ts'

/*
 * litellm #34732, #30522.
 * Mutations:
 * - src/ledger/ledger.sql, `reserve`: without `NOT EXISTS (SELECT FROM refused)` the refused are reserved too: “reserved ≤ budget” fails
 *   (537900 of 109999).
 * - src/ledger/ledger.sql, `reserve`: with what is reserved left out of `remaining` all fifty call: “called has length 10” fails.
 * - src/ledger/sweep-reservations.ts: lost calls given back instead of charged: “released 0, charged 3” fails.
 * - src/executor/model-charge.ts, `chargeLost`: without the settlement the lost calls hold the budget, and “taken over runs are COMPLETED” fails.
 * - src/ledger/ledger.sql, `settle`: without giving `reserved_tokens` back “taken over runs are COMPLETED” fails.
 */

const server = await testPostgres()
const url = server === null ? '' : await server.newDatabase()
const db = server === null ? null : await PostgresDatabase.open({ url })
const children: Worker[] = []
afterAll(async () => {
  await Promise.all(children.map(kill))
  await db?.close()
})

const workers = 4
const secondMs = 60_000

it.skipIf(db === null)(
  '50 concurrent runs, budget for 10 calls → exactly 10 calls start; after kill -9 of all workers reserved returns to 0 and sums match',
  { timeout: 150_000 },
  async () => {
    if (db === null) return
    const benches: Bench[] = []
    for (let made = 0; made < runsOfAll; made += 1) {
      benches.push(await Bench.open(db, { ...setup, script: () => ({ text: 'Done.' }) }))
    }
    const share = Math.ceil(runsOfAll / workers)
    for (let index = 0; index < workers; index += 1) children.push(start(index, index * share + 1, share))
    const called = await refusedOthers()
    expect(called).toHaveLength(callsInBudget)
    expect(await count(`state = 'STOPPED' AND reason = 'BUDGET_ORG'`)).toBe(runsOfAll - callsInBudget)
    const held = await figures()
    expect(held.reserved).toBeGreaterThanOrEqual(callsInBudget * 10_000)
    expect(held.reserved).toBeLessThanOrEqual(acme.tokens ?? 0)

    await Promise.all(children.map(kill))
    // Somebody cancels three of them; the others are taken over once their leases have lapsed.
    const cancelled = called.slice(0, 3).map((serial) => benches[serial - 1])
    for (const bench of cancelled) await cancel(bench)
    const going = called.slice(3).map((serial) => benches[serial - 1])
    for (const bench of going) {
      if (!bench) throw new Error('an unknown run was called')
      const deps = bench.deps(db, { limitsFor: (...args) => [acme, ...bench.deps().limitsFor(...args)] })
      await bench.finish(deps)
      expect(await bench.row()).toMatchObject({ state: 'COMPLETED', summary: 'Done.' })
    }
    const late = new Date(Date.now() + 3_600_000)
    expect(await sweepReservations(db, late)).toEqual({ released: 0, charged: 3 })

    expect((await figures()).reserved).toBe(0)
    expect(await verifyLedger(db)).toMatchObject({
      ok: true,
      problems: [],
      // Ten calls were lost, and seven made again.
      totals: { calls: 17, estimated_calls: 10, open_reservations: 0, reserved_tokens: 0 },
    })
    expect((await figures()).consumed).toBeLessThanOrEqual(acme.tokens ?? 0)
  },
)

interface Worker {
  readonly process: ChildProcess
  readonly from: number
  readonly lines: AsyncIterable<string>
}

function start(index: number, from: number, share: number): Worker {
  const file = fileURLToPath(new URL('../budget-worker.ts', import.meta.url))
  const to = Math.min(runsOfAll, from + share - 1)
  const child = spawn(process.execPath, [file, url, `worker-${index}`, String(from), String(to)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return { process: child, from, lines: createInterface({ input: child.stdout }) }
}

/** Waits until every run has either called its model or come to its end. @returns the serials of those that called */
async function refusedOthers(): Promise<readonly number[]> {
  const called: number[] = []
  let ended = 0
  const all = Promise.withResolvers<void>()
  const timer = setTimeout(
    () => all.reject(new Error(`after a minute: ${called.length} called, ${ended} ended`)),
    secondMs,
  )
  for (const { lines } of children) {
    void (async () => {
      for await (const line of lines) {
        const [word, serial] = line.split(' ')
        if (word === 'called') called.push(Number(serial))
        if (word === 'ended') ended += 1
        if (called.length + ended === runsOfAll) all.resolve()
      }
    })()
  }
  await all.promise.finally(() => clearTimeout(timer))
  return called
}

async function kill({ process: child }: Worker): Promise<void> {
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

async function cancel(bench: Bench | undefined): Promise<void> {
  const text = `UPDATE guild_core.invocations SET state = 'STOPPED', reason = 'CANCELLED', lease_owner = NULL, lease_until = NULL WHERE id = $1`
  await db?.query(statement('cancel', text), [bench?.id ?? ''])
}

async function count(where: string): Promise<number> {
  const text = `SELECT count(*)::integer AS n FROM guild_core.invocations WHERE ${where}`
  const found = await db?.query<{ n: number }>(statement('count', text))
  return found?.rows[0]?.n ?? -1
}

async function figures(): Promise<{ reserved: number; consumed: number }> {
  const text = `SELECT sum(reserved_tokens)::integer AS reserved, sum(consumed_tokens)::integer AS consumed
    FROM guild_ledger.token_budgets WHERE entity_id = 'acme'`
  const found = await db?.query<{ reserved: number; consumed: number }>(statement('figures', text))
  return found?.rows[0] ?? { reserved: -1, consumed: -1 }
}
