import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Desk } from '../src/actions/desk.ts'
import { ActionLanes } from '../src/actions/lanes.ts'
import { githubActionTypes } from '../src/actions/targets/github.ts'
import type { Database } from '../src/database/database.ts'
import { GatheredDatabase } from '../src/database/gathered-database.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { silentLog } from '../src/kernel/log.ts'
import { verifyLedger } from '../src/ledger/verify-ledger.ts'
import { aCodex, tableOutbox } from './actions.ts'
import { testCache } from './cache.ts'
import { openTestDatabase } from './database.ts'
import { Bench, type BenchSetup, statement } from './executor-bench.ts'
import { openTestPostgres } from './postgres.ts'

const postgres = await openTestPostgres()
suite('embedded', openTestDatabase)
if (postgres !== null) suite('on a server', () => Promise.resolve(postgres))

/** Many runs at once share transactions; each has its own journal, money, actions and failures all the same. */
function suite(name: string, open: () => Promise<Database>): void {
  describe(`runs that share transactions, ${name}`, () => {
    let db: Database
    let gather: Database
    beforeAll(async () => {
      db = await open()
      gather = new GatheredDatabase(db)
    })
    afterAll(() => db.close())

    const desk = new Desk({
      systems: [{ system: 'github', types: githubActionTypes }],
      outbox: tableOutbox,
      live: ['github'],
    })
    const setup = (number: number): BenchSetup => ({
      spec: {
        context: [{ id: 'pr', tool: 'github.get_pull_request', args: { number: '{{payload.number}}' } }],
        tools: { actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 1 }] },
      },
      payload: { number, title: 'Add a cart' },
      reads: { 'github.get_pull_request': { text: `the diff of ${number}` } },
      script: (_, call) =>
        call === 1
          ? {
              text: 'I say so.',
              toolCalls: [{ id: 'a', name: 'GITHUB_COMMENT', args: { repo: 'octo/shop', number, body: 'Well done.' } }],
            }
          : { text: 'Done.' },
    })
    const benches = (count: number, from: number) =>
      Promise.all(Array.from({ length: count }, (_, n) => Bench.open(db, setup(from + n))))
    const deliver = (bench: Bench) => bench.deliver(bench.deps(gather, { intake: desk }))

    it('ends each as it would alone', async () => {
      const [alone] = await benches(1, 100)
      const together = await benches(12, 101)
      expect(await alone?.deliver(alone.deps(db, { intake: desk }))).toBeNull()
      expect(await Promise.all(together.map(deliver))).toEqual(together.map(() => null))
      const journal = await alone?.journal()
      const ledger = await alone?.ledger()
      const decisions = (await alone?.decisions())?.length
      for (const bench of together) {
        expect(await bench.row()).toMatchObject({ state: 'COMPLETED', model_calls: 2, actions: 1, attempts: 1 })
        expect(await bench.journal()).toEqual(journal)
        expect(await bench.ledger()).toEqual(ledger)
        expect(await bench.actions()).toBe(1)
        expect(await bench.decisions()).toHaveLength(decisions ?? 0)
      }
      expect(await verifyLedger(db)).toMatchObject({ ok: true, problems: [] })
    })

    it('lets one that has lost its lease stop alone', async () => {
      const all = await benches(8, 200)
      const [victim] = all
      const stolen = all.map((bench) => {
        const deps = bench.deps(gather, { intake: desk })
        if (bench !== victim) return bench.deliver(deps)
        return bench.deliver({
          ...deps,
          llm: {
            call: async (request, options) => {
              const answer = await deps.llm.call(request, options)
              await db.query(statement('steal', stealSql), [bench.id])
              return answer
            },
          },
        })
      })
      const nacks = await Promise.all(stolen)
      expect(nacks[0]).toMatchObject({ reason: 'another worker has taken over' })
      expect(nacks.slice(1)).toEqual(all.slice(1).map(() => null))
      expect(await victim?.row()).toMatchObject({ state: 'RUNNING', lease_owner: 'thief' })
      expect(await victim?.journal()).toContain('2 llm a/one INTENT')
      for (const bench of all.slice(1)) expect(await bench.row()).toMatchObject({ state: 'COMPLETED' })
      expect(await verifyLedger(db)).toMatchObject({ ok: true, problems: [] })
    })

    it('carries out each action once, however many workers look at its lane', async () => {
      const all = await benches(6, 300)
      await Promise.all(all.map(deliver))
      const { rows } = await db.query<{ id: string; agent_id: string }>(
        statement('mine', 'SELECT id, agent_id FROM guild_core.actions WHERE invocation_id = ANY ($1::text[])'),
        [all.map(({ id }) => id)],
      )
      const sent: string[] = []
      const codex = aCodex()
      const [agent] = codex.agents.values()
      const agents = new Map(rows.map(({ agent_id }) => [agent_id, { ...agent, id: agent_id }] as const))
      const lanes = new ActionLanes({
        db: gather,
        cache: testCache(db),
        outbox: tableOutbox,
        codex: { current: () => ({ ...codex, agents: agents as typeof codex.agents }) },
        targetOf: () => ({
          system: 'github',
          types: githubActionTypes,
          probeAfterMs: [0],
          minIntervalMs: 0,
          render: () => Promise.resolve({ method: 'POST', url: '', headers: {}, body: null }),
          execute: ({ actionId }) => {
            sent.push(actionId)
            return Promise.resolve({ kind: 'done', remoteId: actionId, url: null, detail: {} })
          },
          probe: () => Promise.resolve({ kind: 'absent' }),
          look: () => Promise.resolve({ kind: 'nothing' }),
        }),
        live: ['github'],
        owner: 'w',
        clock: systemClock,
        log: silentLog,
      })
      const { signal } = new AbortController()
      await Promise.all([...rows, ...rows].map(({ id }) => lanes.drain(id, signal)))
      expect(sent.toSorted()).toEqual(rows.map(({ id }) => id).toSorted())
      expect(sent).toHaveLength(6)
      const states = await db.query(
        statement('states', 'SELECT DISTINCT state FROM guild_core.actions WHERE id = ANY ($1::text[])'),
        [rows.map(({ id }) => id)],
      )
      expect(states.rows).toEqual([{ state: 'SUCCEEDED' }])
    })
  })
}

const stealSql = `UPDATE guild_core.invocations SET lease_owner = 'thief', lease_epoch = lease_epoch + 1 WHERE id = $1`
