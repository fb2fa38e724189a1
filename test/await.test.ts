import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Database } from '../src/database/database.ts'
import { sweepInvocations } from '../src/dispatcher/sweeper.ts'
import { systemClock } from '../src/kernel/clock.ts'
import type { JsonObject } from '../src/kernel/json.ts'
import { silentLog } from '../src/kernel/log.ts'
import { agentTopic } from '../src/kernel/topics.ts'
import { type Sandbox, startSandbox } from '../src/sandbox/sandbox.ts'
import { tableOutbox } from './actions.ts'
import { openTestDatabase } from './database.ts'
import { type BenchSetup, MortalDatabase, statement } from './executor-bench.ts'
import { ada, Line } from './line.ts'

// A run that waits for what it has asked for: real executor, desk and lanes, and a GitHub that is written to.
let db: Database
let sandbox: Sandbox
let issue = 0
beforeAll(async () => {
  db = await openTestDatabase()
  sandbox = await startSandbox({ clock: systemClock })
  const issues = Array.from({ length: 60 }, (_, n) => ({ number: n + 1, title: `issue ${n}`, user: 'ada' }))
  sandbox.github.plant({ repositories: [{ full_name: 'octo/shop', issues }] })
})
afterAll(async () => {
  await sandbox.close()
  await db.close()
})

function waiting(grant: JsonObject = {}, limits: JsonObject = {}): BenchSetup {
  issue += 1
  const args = { repo: 'octo/shop', number: issue, body: 'a word' }
  const actions = [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 3, await: true, ...grant }]
  return {
    spec: { tools: { actions }, limits },
    script: (request) =>
      request.messages.some(({ role }) => role === 'tool')
        ? { text: 'I have seen what came of it.' }
        : { toolCalls: [{ id: 'c', name: 'GITHUB_COMMENT', args }] },
  }
}

const comments = (line: Line) => line.github<readonly unknown[]>(`/repos/octo/shop/issues/${issue}/comments`)

describe('a run that awaits its action', () => {
  it('lets go of its lease, and goes on with the outcome when a message says that it is over', async () => {
    const line = await Line.open(db, sandbox, waiting())
    expect(await line.run()).toBeNull()
    expect(await line.bench.row()).toMatchObject({ state: 'WAITING_ACTION', lease_owner: null, lease_until: null })
    expect(line.bench.llm.requests).toHaveLength(1)
    await line.carryOut()
    expect(await line.bench.row()).toMatchObject({ state: 'ADMITTED', not_before: null })
    expect(await line.bench.published(agentTopic(line.bench.agent.id))).toHaveLength(1)
    expect(await line.run()).toBeNull()
    const [action] = await line.actions()
    expect(JSON.parse(line.told())).toMatchObject({
      status: 'succeeded',
      url: action?.remote_url,
      remote_id: action?.remote_id,
    })
    const row = await line.bench.row()
    expect(row).toMatchObject({ state: 'COMPLETED', actions: 1, tool_calls: 1 })
    expect(row['waited_ms']).toBeGreaterThan(0)
  })

  it('acknowledges a message that comes too early, and does not wake', async () => {
    const line = await Line.open(db, sandbox, waiting())
    await line.run()
    expect(await line.run()).toBeNull()
    expect(await line.bench.row()).toMatchObject({ state: 'WAITING_ACTION', attempts: 1 })
  })

  it('waits for the person while one is asked, and for the action once they have agreed', async () => {
    const line = await Line.open(db, sandbox, waiting({ autonomy: 1 }))
    await line.run()
    expect(await line.bench.row()).toMatchObject({ state: 'WAITING_APPROVAL' })
    const { action_id: id, approval_hash: argsHash } = await line.approval()
    await line.approvals.approve(db, id, { ...ada, argsHash })
    expect(await line.bench.row()).toMatchObject({ state: 'WAITING_ACTION' })
    await line.carryOut()
    await line.run()
    expect(JSON.parse(line.told())).toMatchObject({ status: 'succeeded' })
  })

  it('is told that a person has refused, and goes on', async () => {
    const line = await Line.open(db, sandbox, waiting({ autonomy: 1 }))
    await line.run()
    await line.approvals.deny(db, (await line.approval()).action_id, { ...ada, note: 'not on a Sunday' })
    await line.run()
    expect(JSON.parse(line.told())).toMatchObject({ status: 'denied', reason: 'denied by ada: not on a Sunday' })
    expect(await line.bench.row()).toMatchObject({ state: 'COMPLETED' })
    expect(await comments(line)).toHaveLength(0)
  })

  it('is told that nobody has answered in time', async () => {
    const line = await Line.open(db, sandbox, waiting({ autonomy: 1, expires: '1h' }))
    await line.run()
    line.clock.advance(3_700_000)
    await line.worker().sweep()
    await line.run()
    expect(JSON.parse(line.told())).toMatchObject({ status: 'expired' })
  })

  it('waits no longer than maxWait, by a message that the sweeper sends, and is told how things stand', async () => {
    const line = await Line.open(db, sandbox, waiting({ autonomy: 1 }, { maxWait: '10m' }))
    await line.run()
    const past = `UPDATE guild_core.invocations SET queued_at = now() - interval '1 day',
      waiting_since = now() - interval '11 minutes', not_before = now() - interval '1 minute' WHERE id = $1`
    await db.query(statement('past', past), [line.bench.id])
    await sweepInvocations({ database: db, outbox: tableOutbox, clock: systemClock, log: silentLog })
    expect(await line.bench.published(agentTopic(line.bench.agent.id))).toHaveLength(1)
    await line.run()
    expect(JSON.parse(line.told())).toMatchObject({ status: 'pending', state: 'PROPOSED' })
    expect(await line.bench.row()).toMatchObject({ state: 'COMPLETED' })
    expect((await line.approval()).state).toBe('PENDING')
  })

  it('sees an outcome that is there before it has let go', async () => {
    const line = await Line.open(db, sandbox, waiting())
    // It dies when its action is proposed, before it could suspend; the action is carried out; another worker takes over.
    const proposed = new MortalDatabase(db, 4, 'after')
    await expect(line.run(proposed)).rejects.toThrow(/died|dead/)
    expect(await line.bench.row()).toMatchObject({ state: 'RUNNING' })
    await line.carryOut()
    expect(await line.bench.published(agentTopic(line.bench.agent.id))).toHaveLength(0)
    await line.bench.lapse()
    expect(await line.run()).toBeNull()
    expect(await line.bench.row()).toMatchObject({ state: 'COMPLETED', waited_ms: 0 })
    expect(JSON.parse(line.told())).toMatchObject({ status: 'succeeded' })
  })

  it('is woken once, however often the end is announced', async () => {
    const line = await Line.open(db, sandbox, waiting())
    await line.run()
    const [action] = await line.actions()
    await Promise.all([line.worker().drain(action?.id ?? ''), line.worker().drain(action?.id ?? '')])
    await line.run()
    const asked = line.bench.llm.requests.length
    expect(await line.run()).toBeNull()
    expect(line.bench.llm.requests).toHaveLength(asked)
    expect(await line.bench.published(agentTopic(line.bench.agent.id))).toHaveLength(1)
    expect(await comments(line)).toHaveLength(1)
  })

  it.each(['before', 'after'] as const)(
    'comes to one comment and one ending, wherever its worker dies (%s a commit)',
    async (when) => {
      for (let edge = 1; edge <= 12; edge += 1) {
        const line = await Line.open(db, sandbox, waiting())
        const dying = new MortalDatabase(db, edge, when)
        await line.run(dying).catch(() => undefined)
        await line.carryOut()
        // The second worker may die as well, at the same place of its own life.
        await line.bench.lapse()
        await line.run(new MortalDatabase(db, edge, when)).catch(() => undefined)
        for (let n = 0; n < 4; n += 1) {
          await line.carryOut()
          await line.bench.lapse()
          await line.run()
        }
        const { state, actions } = await line.bench.row()
        const made = (await comments(line)).length
        expect({ edge, state, actions, made, told: line.told().includes('succeeded') }).toEqual({
          edge,
          state: 'COMPLETED',
          actions: 1,
          made: 1,
          told: true,
        })
      }
    },
  )
})
