import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { anAgent, aRoute, aSnapshot, text } from '../../test/dispatch.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { silentLog } from '../kernel/log.ts'
import { getAgent, listAgents, recordInvalidSnapshot, syncRegistry } from './registry.ts'
import { registryRefresher } from './registry-refresher.ts'

const now = new Date('2026-11-22T10:00:00Z')
let db: Database

const snapshot = aSnapshot(
  [
    anAgent('sentinel', { type: 'Sentinel', capabilities: ['CODE_REVIEW', 'RCA_ANALYSIS'] }),
    anAgent('sentinel-payments', { type: 'Sentinel', chapter: 'payments', capabilities: ['CODE_REVIEW'] }),
    anAgent('scribe', { type: 'Scribe', unmet: ['it needs Sentinel >=2, there is 1.0.0'] }),
  ],
  [
    aRoute('opened', 'PR_OPENED', ['Sentinel'], { where: 'payload.number > 1', priority: 'HIGH' }),
    aRoute('quiet', '*', [], { mute: 'noise' }),
  ],
)

beforeAll(async () => {
  db = await openTestDatabase()
})
beforeEach(async () => {
  await db.query(
    text(
      'TRUNCATE guild_core.agents, guild_core.routing_rules, guild_core.codex_snapshots, guild_core.events, guild_core.event_keys CASCADE',
    ),
  )
})
afterAll(async () => {
  await db.close()
})

describe('syncRegistry', () => {
  it('writes agents, rules and the snapshot, and says whether something new serves', async () => {
    expect(await sync(snapshot)).toBe(true)
    expect(await sync(snapshot)).toBe(false)
    expect(await sync({ ...snapshot, commit: 'd'.repeat(40) })).toBe(true)
    const rules = await db.query(text('SELECT * FROM guild_core.routing_rules'))
    expect(rules.rows).toEqual([
      {
        id: 'routing/events.yaml#opened',
        event_type: 'PR_OPENED',
        source: null,
        condition: 'payload.number > 1',
        target_agents: ['Sentinel'],
        priority: 'HIGH',
        codex_commit: 'd'.repeat(40),
      },
    ])
  })

  it('says so when an earlier commit serves again', async () => {
    await sync(snapshot)
    await sync({ ...snapshot, commit: 'd'.repeat(40) }, new Date('2026-11-22T10:01:00Z'))
    expect(await sync(snapshot, new Date('2026-11-22T10:02:00Z'))).toBe(true)
  })

  it('keeps an agent that was removed, and brings it back', async () => {
    await sync(snapshot)
    const { agents, ...rest } = snapshot
    await sync({ ...rest, agents: new Map([...agents].filter(([id]) => id !== 'sentinel')) })
    expect((await listAgents(db, {}, now)).map(({ id }) => id)).toEqual(['scribe', 'sentinel-payments'])
    expect(await getAgent(db, 'sentinel', now)).toMatchObject({
      status: 'DORMANT',
      status_reason: 'it is no longer in the Codex',
    })
    await sync(snapshot)
    expect(await getAgent(db, 'sentinel', now)).toMatchObject({ status_reason: null, removed_at: null })
  })

  it('records an invalid commit with its errors beside the one that serves', async () => {
    await sync(snapshot)
    const problem = { severity: 'error', file: 'agents/a.yaml', line: 3, message: 'no' } as const
    await db.transaction((tx) => recordInvalidSnapshot(tx, 'e'.repeat(40), [problem], now))
    const { rows } = await db.query(text(`SELECT problems FROM guild_core.codex_snapshots WHERE state = 'INVALID'`))
    expect(rows).toEqual([{ problems: [problem] }])
    expect(await sync(snapshot)).toBe(false)
  })
})

describe('listAgents', () => {
  it('finds by capability, type, chapter and status', async () => {
    await sync(snapshot)
    await aRun('sentinel', 'COMPLETED', '2026-11-22T09:00:00Z')
    const ids = async (query: Parameters<typeof listAgents>[1]) =>
      (await listAgents(db, query, now)).map(({ id }) => id)
    expect(await ids({ capability: 'CODE_REVIEW' })).toEqual(['sentinel', 'sentinel-payments'])
    expect(await ids({ capability: 'RCA_ANALYSIS' })).toEqual(['sentinel'])
    expect(await ids({ type: 'Scribe' })).toEqual(['scribe'])
    expect(await ids({ chapter: 'payments' })).toEqual(['sentinel-payments'])
    expect(await ids({ status: 'ACTIVE' })).toEqual(['sentinel'])
    expect(await ids({ status: 'DEGRADED' })).toEqual(['scribe'])
  })

  it('derives health from runs: failures in the window degrade, a success heals', async () => {
    await sync(snapshot)
    await aRun('sentinel', 'FAILED', '2026-11-21T12:00:00Z')
    for (const minute of [51, 52, 53, 54, 55]) await aRun('sentinel', 'FAILED', `2026-11-22T09:${minute}:00Z`)
    expect(await getAgent(db, 'sentinel', now)).toMatchObject({
      status: 'DEGRADED',
      status_reason: '5 runs failed within 10 min; its next run shows whether it is well again',
      half_open: true,
      error_count_24h: 6,
      last_invocation: new Date('2026-11-22T09:55:00Z'),
    })
    await aRun('sentinel', 'COMPLETED', '2026-11-22T09:56:00Z')
    expect(await getAgent(db, 'sentinel', now)).toMatchObject({
      status: 'ACTIVE',
      status_reason: null,
      half_open: false,
    })
  })

  it('keeps the table itself fresh for those who read it', async () => {
    await sync(snapshot)
    await aRun('sentinel', 'FAILED', '2026-11-22T09:30:00Z')
    const controller = new AbortController()
    const sleep = () => Promise.resolve(controller.abort())
    await registryRefresher({ database: db, clock: { now: () => now, sleep }, log: silentLog }).run(controller.signal)
    const { rows } = await db.query(text('SELECT id, status, error_count_24h FROM guild_core.agents ORDER BY id'))
    expect(rows).toEqual([
      { id: 'scribe', status: 'DEGRADED', error_count_24h: 0 },
      { id: 'sentinel', status: 'ACTIVE', error_count_24h: 1 },
      { id: 'sentinel-payments', status: 'DORMANT', error_count_24h: 0 },
    ])
  })

  it('says that there is no such agent', async () => {
    await expect(getAgent(db, 'nobody')).rejects.toMatchObject({ code: 'GUILD_NOT_FOUND' })
  })
})

function sync(next: CodexSnapshot, at = now) {
  return db.transaction((tx) => syncRegistry(tx, next, at))
}

let runs = 0

async function aRun(agentId: string, state: string, at: string) {
  runs += 1
  await db.query(
    text(`WITH k AS (
      INSERT INTO guild_core.event_keys (id, source, dedup_key, received_at) VALUES ('evt_' || $1, 's', $1, $4)), e AS (
      INSERT INTO guild_core.events (id, type, source, connector, priority, trace_id, subject_kind, subject_id, actor, dedup_key, payload,
        metadata, occurred_at, received_at, causal_root, causal_depth, disposition, reason, codex_commit)
      VALUES ('evt_' || $1, 'T', 's', 's', 'NORMAL', 't', 'k', 'x', 'a', $1, '{}', '{}', $4, $4, $1, 0, 'ROUTED', '', 'c') RETURNING id)
      INSERT INTO guild_core.invocations (id, agent_id, agent_type, agent_version, event_id, trace_id, causal_root, causal_depth,
        codex_commit, snapshot_hash, rule, priority, state, queued_at, finished_at)
      SELECT 'inv_' || $1, $2, 'A', '1.0.0', id, 't', 'r', 0, 'c', 'h', 'r', 'NORMAL', $3, $4::timestamptz, $4::timestamptz FROM e`),
    [`r${runs}`, agentId, state, new Date(at)],
  )
}
