// Mutations, each made by hand and taken back:
// - src/actions/judge.ts: the hash of the approval not compared → "arguments changed": SUCCEEDED instead of DENIED.
// - src/actions/approvals.ts, approve: the hash handed back not compared → "replayed" for another action, and "drifted": both accepted.
// - src/actions/pending.sql: `p.state = 'PENDING'` left out → "replayed": the second approval is accepted.
// - src/actions/approvals.ts, approve: `expires_at` not looked at → "expired": the late approval is accepted.
// - src/actions/lanes.ts, carryOut: `expires_at` not looked at → "expired": SUCCEEDED instead of EXPIRED.
// - src/guards/action-policy.ts: a denial does not deny → "policy tightened": SUCCEEDED instead of DENIED.
// - src/actions/drift.ts: everything is the same → "drifted": the label is set.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Preview } from '../../src/actions/preview.ts'
import { compileCondition } from '../../src/codex/condition.ts'
import type { Database } from '../../src/database/database.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts'
import { openTestDatabase } from '../database.ts'
import { type BenchSetup, statement } from '../executor-bench.ts'
import { ada, Line } from '../line.ts'

let db: Database
let sandbox: Sandbox
let issue = 0
beforeAll(async () => {
  db = await openTestDatabase()
  sandbox = await startSandbox({ clock: systemClock })
  const issues = Array.from({ length: 20 }, (_, n) => ({ number: n + 1, title: `issue ${n}`, user: 'ada' }))
  sandbox.github.plant({ repositories: [{ full_name: 'octo/shop', issues }] })
})
afterAll(async () => {
  await sandbox.close()
  await db.close()
})

/** A run that has asked for a label, and waits for the person. */
async function asked(): Promise<Line> {
  issue += 1
  const args = { repo: 'octo/shop', number: issue, add: ['security'] }
  const setup: BenchSetup = {
    spec: { tools: { actions: [{ type: 'GITHUB_LABEL', autonomy: 1, await: true, expires: '1h' }] } },
    script: (_request, call) =>
      call === 1 ? { toolCalls: [{ id: 'c', name: 'GITHUB_LABEL', args }] } : { text: 'Done.' },
  }
  const line = await Line.open(db, sandbox, setup)
  await line.run()
  return line
}

const labels = async (line: Line) =>
  (await line.github<{ name: string }[]>(`/repos/octo/shop/issues/${issue}/labels`)).map(({ name }) => name)

async function approved(line: Line): Promise<string> {
  const { action_id: id, approval_hash: argsHash } = await line.approval()
  await line.approvals.approve(db, id, { ...ada, argsHash })
  return id
}

/** What became of it once the worker has looked, and the labels on the issue. */
async function outcomeOf(line: Line, id: string) {
  await line.worker().drain(id)
  const [action] = await line.actions()
  return { state: action?.state, reason: action?.reason, labels: await labels(line) }
}

const refused = (state: string, reason: string) => ({ state, reason: expect.stringContaining(reason), labels: [] })

describe('approval given', () => {
  it('and nothing changed → executed (so that the others prove something)', async () => {
    const line = await asked()
    await line.worker().drain(await approved(line))
    expect(await labels(line)).toEqual(['security'])
  })

  it('arguments changed → not executed', async () => {
    const line = await asked()
    const id = await approved(line)
    const change = `UPDATE guild_core.actions SET args = jsonb_set(args, '{add}', '["wontfix"]') WHERE id = $1`
    await db.query(statement('change', change), [id])
    expect(await outcomeOf(line, id)).toEqual(refused('DENIED', 'what was approved is not what would be sent'))
    await line.run()
    expect(JSON.parse(line.told())).toMatchObject({ status: 'denied' })
  })

  it('replayed → not executed a second time, and not for another action', async () => {
    const line = await asked()
    const { action_id: id, approval_hash: argsHash } = await line.approval()
    await line.approvals.approve(db, id, { ...ada, argsHash })
    await line.worker().drain(id)
    await expect(line.approvals.approve(db, id, { ...ada, argsHash })).rejects.toMatchObject({
      code: 'GUILD_ACTION_STATE',
    })
    await line.worker().drain(id)
    const writes = sandbox.github.received().filter((one) => JSON.stringify(one).includes(`/issues/${issue}/labels`))
    expect(writes).toHaveLength(1)

    const other = await asked()
    const { action_id: another } = await other.approval()
    await expect(other.approvals.approve(db, another, { ...ada, argsHash })).rejects.toMatchObject({
      code: 'GUILD_APPROVAL_STALE',
    })
    await other.worker().drain(another)
    expect(await labels(other)).toEqual([])
  })

  it('expired → not executed, whether it ran out before the decision or after it', async () => {
    const late = await asked()
    const { action_id: id, approval_hash: argsHash } = await late.approval()
    late.clock.advance(3_700_000)
    await expect(late.approvals.approve(db, id, { ...ada, argsHash })).rejects.toMatchObject({
      code: 'GUILD_APPROVAL_STALE',
    })
    expect(await outcomeOf(late, id)).toEqual(refused('EXPIRED', 'in time'))

    const slow = await asked()
    const given = await approved(slow)
    slow.clock.advance(3_700_000)
    expect(await outcomeOf(slow, given)).toEqual(refused('EXPIRED', 'its time ran out'))
  })

  it('policy tightened → not executed', async () => {
    const line = await asked()
    const id = await approved(line)
    const place = { file: 'policies/org.yaml', line: 1 }
    const when = compileCondition(`action.type == 'GITHUB_LABEL'`)
    const freeze = { place, name: 'freeze', action: '*', when, reason: 'no labels today' }
    line.serving = { ...line.serving, denials: [freeze] }
    expect(await outcomeOf(line, id)).toEqual(refused('DENIED', 'no labels today'))
  })

  it('target drifted since it was shown → a new decision is asked for', async () => {
    const line = await asked()
    const deps = { db, desk: line.desk, codex: { current: () => line.serving }, targetOf: () => line.target() }
    const preview = new Preview({ ...deps, clock: line.clock, log: silentLog, live: ['github'] })
    await preview.refresh(null, AbortSignal.timeout(5_000))
    const seen = await line.approval()
    expect(seen).toMatchObject({ before: { 'label security': false }, after: { 'label security': true } })

    // A decision on something that has been looked at anew since is stale.
    const relooked = `UPDATE guild_core.approvals SET before = '{"label security": null}' WHERE id = $1`
    await db.query(statement('relook', relooked), [seen.id])
    const stale = line.approvals.approve(db, seen.id, { ...ada, argsHash: seen.approval_hash })
    await expect(stale).rejects.toMatchObject({ code: 'GUILD_APPROVAL_STALE' })

    const id = await approved(line)
    await line.worker().drain(id)
    expect(await labels(line)).toEqual([])
    expect(await line.approval()).toMatchObject({
      kind: 'ask',
      before: { 'label security': false },
      reason: expect.stringContaining('the target has changed since it was decided'),
    })
    await line.worker().drain(await approved(line))
    expect(await labels(line)).toEqual(['security'])
  })
})
