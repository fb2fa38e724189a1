import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { Bench, statement } from '../../test/executor-bench.ts'
import type { Database } from '../database/database.ts'
import type { JsonObject } from '../kernel/json.ts'
import { forgetJournals } from './forget-journal.ts'
import { runForGrant } from './resume.ts'
import { getRun } from './runs.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const day = 86_400_000
const signal = new AbortController().signal
const words = /a pull request|a secret plan|Done as told/

async function ended(retention: JsonObject): Promise<Bench> {
  const bench = await Bench.open(db, {
    spec: { context: [{ id: 'pr', tool: 'github.get_pr' }], tools: { allow: [{ name: 'github.search' }] }, retention },
    reads: { 'github.get_pr': { text: 'a pull request' }, 'github.search': { text: 'a secret plan' } },
    script: (request) =>
      request.messages.some(({ role }) => role === 'tool')
        ? { text: 'Done as told.' }
        : { toolCalls: [{ id: '1', name: 'github__search', args: {} }] },
  })
  await bench.deliver()
  expect(await bench.row()).toMatchObject({ state: 'COMPLETED' })
  return bench
}

async function stepsOf(bench: Bench): Promise<string> {
  const text =
    'SELECT coalesce(jsonb_agg(to_jsonb(s)), $2::jsonb)::text AS steps FROM guild_core.run_steps s WHERE invocation_id = $1'
  const { rows } = await db.query<{ steps: string }>(statement('steps', text), [bench.id, '[]'])
  return rows[0]?.steps ?? ''
}

describe('the words of a journal', () => {
  it('are gone with the end of the run where the manifest keeps no transcript; hashes and usage stay', async () => {
    const bench = await ended({ transcript: '0s' })
    const steps = await stepsOf(bench)
    expect(steps).not.toMatch(words)
    expect(steps).toMatch(/"sha256": ?"[0-9a-f]{64}"/)
    expect(bench.artifacts.size).toBe(0)
    expect(await bench.row()).toMatchObject({ journal_forgotten: true, input_tokens: 200, transcript_ref: null })
    expect(await bench.ledger()).toMatchObject({ charged: 2, open: 0 })
    expect(await bench.journal()).toHaveLength(6)
    expect(await getRun(db, bench.id)).toMatchObject({ state: 'COMPLETED' })
  })

  it('are kept as long as the manifest says, not shorter and not longer', async () => {
    const [short, long] = [await ended({ journal: '2d' }), await ended({ journal: '40d' })]
    const at = (days: number) => new Date(Date.now() + days * day)
    expect(await forgetJournals(db, at(1), signal)).toBe(0)
    expect(await stepsOf(short)).toMatch(words)
    expect(await forgetJournals(db, at(3), signal)).toBe(1)
    expect(await stepsOf(short)).not.toMatch(words)
    expect(await stepsOf(long)).toMatch(words)
    expect(await forgetJournals(db, at(3), signal)).toBe(0)
  })

  it('are needed by a grant: a run without them does not go on', async () => {
    const bench = await ended({ transcript: '0s' })
    const text = `UPDATE guild_core.invocations SET state = 'STOPPED', reason = 'BUDGET_RUN' WHERE id = $1`
    await db.query(statement('stop', text), [bench.id])
    await expect(runForGrant(db, bench.id)).rejects.toMatchObject({ code: 'GUILD_GRANT_REFUSED' })
  })
})
