import { afterEach, beforeEach, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import type { Database } from '../database/database.ts'
import { takeOver } from './take-over.ts'

let database: Database
beforeEach(async () => {
  database = await openTestDatabase()
  await database.query({ name: '', text: anEvent })
})
afterEach(() => database.close())

const anEvent = `
  WITH key AS (INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at) VALUES ('evt_1', 's', 'd', now()))
  INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload,
    metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
  VALUES ('evt_1', 'T', 's', 's', 'NORMAL', 't', 'k', 'i', 'a', 'd', '{}', '{}', now(), now(), 'evt_1', 0, 'ROUTED', 'r', 'c')`
const aRun = `
  INSERT INTO guild_core.invocations AS i (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth,
    codex_commit, snapshot_hash, rule, priority, state, lease_owner, lease_epoch, lease_until)
  VALUES ($1::text, $1::text, 'T', '1', 'evt_1', 't', 'evt_1', 0, 'c', 'h', 'r', 'NORMAL', 'RUNNING', 'dead', 1, now() + interval '30 s')
  ON CONFLICT (id) DO UPDATE SET lease_owner = 'dead', lease_epoch = i.lease_epoch + 1, lease_until = now() + interval '30 s'`
const blamed = `SELECT id FROM guild_core.invocations WHERE lease_owner IS NOT NULL AND lease_until <= now() ORDER BY id`

/** The process is killed with these runs in flight. @returns those whose death counts as their own */
async function killedWith(runs: readonly string[]): Promise<readonly string[]> {
  for (const id of runs) await database.query({ name: '', text: aRun }, [id])
  await takeOver(database)
  const { rows } = await database.query<{ id: string }>({ name: '', text: blamed })
  return rows.map(({ id }) => id)
}

it('blames a run that was alone when its process died, each time', async () => {
  expect(await killedWith(['inv_1'])).toEqual(['inv_1'])
  expect(await killedWith(['inv_1'])).toEqual(['inv_1'])
})

it('blames runs that died in company every third time: most of them only stood by', async () => {
  const company = ['inv_1', 'inv_2', 'inv_3']
  const deaths = []
  for (let kill = 1; kill <= 9; kill += 1) deaths.push((await killedWith(company)).length)
  expect(deaths).toEqual([0, 0, 3, 0, 0, 3, 0, 0, 3])
})
